from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.inference.domain.output.delta import Usage
from services.inference.domain.sent import Sent
from services.inference.usecases.drain import Drain
from tests.unit.services.inference.world import activity as activity_of


class Call:
    usage = Usage(prompt_tokens=3)
    counted_as = "r"

    def sent(self):
        return Sent(3, [0])

    def cancel(self):
        raise AssertionError("a drain cancels nothing")


class Observer:
    def __init__(self):
        self.seen = []

    def ended(self, usage, error):
        self.seen.append((usage.prompt_tokens, error))


def test_it_waits_for_running_calls_and_no_longer():
    async def scenario():
        activity, call = activity_of(), Call()
        activity.opened(call)
        loop = asyncio.get_running_loop()
        loop.call_later(3.0, activity.closed, call, None)
        finished = await Drain(activity).finished(20.0)
        return finished, loop.time(), activity.draining

    assert run(scenario()) == (True, 3.0, True)


def test_when_the_grace_nears_its_end_it_is_time_to_hand_over():
    async def scenario():
        activity = activity_of()
        activity.opened(Call())
        return await Drain(activity).finished(20.0), asyncio.get_running_loop().time()

    assert run(scenario()) == (False, 18.0)


def test_a_drain_by_rpc_is_told_once():
    async def scenario():
        told, drain = [], Drain(activity_of())
        drain.on_begin(lambda grace, over: told.append((grace, over)))
        drain.begin(5.0, True)  # noqa: FBT003 - the RPC's fields
        drain.begin(9.0, False)  # noqa: FBT003 - the RPC's fields
        return told

    assert run(scenario()) == [(5.0, True)]


def test_the_gate_says_why_it_is_shut():
    async def scenario():
        told, activity = [], activity_of()
        activity.on_change(lambda: told.append(1))
        activity.check_open()
        activity.die()
        activity.die()
        with pytest.raises(PlatformError) as dead:
            activity.check_open()
        activity.drain()
        with pytest.raises(PlatformError) as draining:
            activity.check_open()
        return dead.value.reason, draining.value.reason, len(told)

    assert run(scenario()) == (Reason.ENGINE_DEAD, Reason.DRAINING, 2)


def test_ended_calls_are_counted_once():
    async def scenario():
        observer = Observer()
        activity, call = activity_of((observer,)), Call()
        activity.opened(call)
        activity.closed(call, None)
        activity.closed(call, None)
        return observer.seen, activity.running

    assert run(scenario()) == ([(3, None)], 0)
