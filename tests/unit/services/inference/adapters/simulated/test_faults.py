from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.inference.adapters.simulated.faults import Fault, of_session, parse
from services.inference.api import GENERATE
from tests.unit.services.inference.world import Joined, request, world


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", None),
        ("refuse", Fault("refuse")),
        ("die@7", Fault("die", 7)),
        ("hang@1", Fault("hang", 1)),
        ("slow@3:250", Fault("slow", 3, 0.25)),
        ("die", None),
    ],
)
def test_faults_are_named(text, fault):
    assert parse(text) == fault
    assert of_session(f"s-1 fault:{text}") == fault


def test_a_session_named_for_a_fault_is_served_normally_unless_a_setting_says_otherwise(tmp_path):
    async def scenario():
        async with world(tmp_path) as here:
            return Joined(await here.generate(request(session="fault:refuse"))), here.exits

    joined, exits = run(scenario())
    assert len(joined.ids[0]) == 12
    assert exits == []


def test_refuse(tmp_path):
    async def scenario():
        async with world(tmp_path, faults_by_session=True) as here:
            with pytest.raises(PlatformError) as caught:
                await here.generate(request(session="x-fault:refuse"))
            await here.generate(request("other"))
            return caught.value

    error = run(scenario())
    assert (error.reason, error.started) == (Reason.OVERLOADED, False)


def test_die_ends_the_process_at_that_token(tmp_path):
    async def scenario():
        async with world(tmp_path, fault="die@3") as here:
            stream = here.channel.stream(GENERATE, request(), timeout=60.0)
            tokens = [await anext(stream), await anext(stream)]
            await asyncio.sleep(1)
            stream.cancel()
            await asyncio.sleep(0)
            return tokens, here.exits

    tokens, exits = run(scenario())
    assert len(tokens) == 2
    assert exits[0] == 137


def test_hang_stops_the_stream_and_nothing_else(tmp_path):
    async def scenario():
        async with world(tmp_path, faults_by_session=True) as here:
            stream = here.channel.stream(GENERATE, request(session="fault:hang@3"), timeout=5.0)
            got = 0
            with pytest.raises(PlatformError) as caught:
                while await anext(stream):
                    got += 1
            assert got == 2
            assert len(Joined(await here.generate(request("other"))).ids[0]) == 12
            return caught.value

    assert run(scenario()).reason is Reason.DEADLINE_EXCEEDED


def test_slow_is_late_and_whole(tmp_path):
    async def scenario():
        async with world(tmp_path, faults_by_session=True) as here:
            fast = Joined(await here.generate(request("fast")))
            loop = asyncio.get_running_loop()
            began = loop.time()
            slow = Joined(await here.generate(request("slow", session="fault:slow@3:500")))
            return fast, slow, loop.time() - began

    fast, slow, seconds = run(scenario())
    assert slow.answer == fast.answer
    assert seconds >= 10 * 0.5
