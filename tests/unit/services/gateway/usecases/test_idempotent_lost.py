"""Idempotency keys when gateways die, stop or come back too late: one answer and one run, without a seam."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.turns import Guided, Sampling
from tests.unit.services.gateway.usecases.city import PACE, about, breaks, city, read, started
from tests.unit.services.gateway.usecases.world import Worker, ask, capable, tokens, whole

# Gateways that die.


@pytest.mark.parametrize("died_at", [0.5, 2.5, 4.5])
def test_when_the_owner_dies_the_next_gets_what_was_said_and_then_the_rest_under_the_same_id(tmp_path, died_at):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(died_at * PACE)
            await c.one.die()
            had, _ = await first
            await asyncio.sleep(6)
            events, answer = await c.two.answer("r2")
            assert whole(events)
            assert tokens(had) == tokens(events)[: len(tokens(had))]
            assert (answer.answer_id, answer.replayed, c.two.claims) == ("r1", True, ["taken"])
            assert c.runs() == ["r1"]
            requests = [request for request, _ in c.world.workers["a"].requests]
            resumed = [sum(len(choice.token_ids) for choice in request.resume.choices) for request in requests]
            assert resumed == [0, len(tokens(had))]
            # What it took over is stored for the next one.
            assert about((await c.two.answer("r3"))[0]) == about(events)

    run(scenario())


def test_who_follows_a_gateway_that_dies_goes_on_without_a_seam(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            second = asyncio.create_task(c.two.answer("r2"))
            await asyncio.sleep(2.5 * PACE)
            await c.one.die()
            await first
            events, _ = await second
            assert whole(events)
            assert c.two.claims == ["running", "taken"]
            assert c.runs() == ["r1"]

    run(scenario())


def test_an_owner_that_dies_before_the_first_token_is_followed_from_the_beginning(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            c.world.router.hold = asyncio.Event()
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(1)
            await c.one.die()
            await first
            c.world.router.hold.set()
            await asyncio.sleep(6)
            events, answer = await c.two.answer("r2")
            assert whole(events)
            assert (answer.answer_id, started(events).replayed, c.runs()) == ("r1", True, ["r1"])

    run(scenario())


class Away:
    """A pipeline that refuses `times` calls before it has begun them."""

    def __init__(self, chat, reason, times):
        self.chat_of, self.reason, self.times = chat, reason, times

    def chat(self, *args, **more):
        return self._refuse() if self.times else self.chat_of.chat(*args, **more)

    async def _refuse(self):
        self.times -= 1
        raise PlatformError(self.reason, "away", started=False)
        yield []


async def half(c):
    """What the client of a gateway that died had, once the lease of its answer is over."""
    first = asyncio.create_task(breaks(await c.one.open("r1")))
    await asyncio.sleep(2.5 * PACE)
    await c.one.die()
    had, _ = await first
    await asyncio.sleep(6)
    return tokens(had)


def test_a_gateway_that_has_just_started_waits_for_the_ledger_before_it_goes_on(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            had = await half(c)
            opens_at = c.world.clock.monotonic() + 3
            asked = []

            def may_hold():
                return c.world.clock.monotonic() >= opens_at

            def chat(*args, **more):
                asked.append(may_hold())
                return c.world.pipeline.chat(*args, **more)

            c.two.keyed.means = replace(c.two.keyed.means, may_hold=may_hold, chat=SimpleNamespace(chat=chat))
            events, _ = await c.two.answer("r2")
            assert whole(events)
            assert tokens(events)[: len(had)] == had
            assert (asked, c.runs()) == ([True], ["r1"])

    run(scenario())


@pytest.mark.parametrize("reason", [Reason.STORE_UNAVAILABLE, Reason.ROUTER_UNAVAILABLE, Reason.OVERLOADED])
def test_an_answer_that_cannot_be_taken_up_just_then_is_left_for_the_next_try(tmp_path, reason):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            had = await half(c)
            c.two.keyed.means = replace(c.two.keyed.means, chat=Away(c.world.pipeline, reason, 1))
            _, error = await breaks(await c.two.open("r2"))
            assert error.reason is reason
            events, answer = await c.two.answer("r3")
            assert whole(events)
            assert tokens(events)[: len(had)] == had
            assert (answer.answer_id, c.runs()) == ("r1", ["r1"])

    run(scenario())


def test_an_answer_that_may_never_be_taken_up_is_made_anew_by_the_next(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            await half(c)
            c.two.keyed.means = replace(c.two.keyed.means, chat=Away(c.world.pipeline, Reason.PRICE_UNKNOWN, 1))
            _, error = await breaks(await c.two.open("r2"))
            assert error.reason is Reason.PRICE_UNKNOWN
            events, answer = await c.two.answer("r3")
            assert (whole(events), answer.replayed, len(c.runs())) == (True, False, 2)

    run(scenario())


def test_what_cannot_be_resumed_is_made_anew_under_the_same_run(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with city(tmp_path, worker, pace=PACE) as c:
            c.world.router.capabilities = capable(resume_guided=False)
            c.world.router.changed.set()
            await asyncio.sleep(0.1)
            request = ask(guided=Guided(json_object=True))
            first = asyncio.create_task(breaks(await c.one.open("r1", request)))
            await asyncio.sleep(2.5 * PACE)
            await c.one.die()
            await first
            await asyncio.sleep(6)
            events, answer = await c.two.answer("r2", request)
            assert whole(events)
            assert (answer.answer_id, answer.replayed, started(events).replayed) == ("r1", False, False)
            assert c.runs() == ["r1"]
            assert not worker.requests[-1][0].resume.choices
            assert about((await c.two.answer("r3", request))[0]) == about(events)

    run(scenario())


def test_who_has_a_part_of_what_is_made_anew_is_interrupted(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            c.world.router.capabilities = capable(resume_guided=False)
            c.world.router.changed.set()
            await asyncio.sleep(0.1)
            request = ask(guided=Guided(json_object=True))
            first = asyncio.create_task(breaks(await c.one.open("r1", request)))
            second = asyncio.create_task(breaks(await c.two.open("r2", request)))
            await asyncio.sleep(2.5 * PACE)
            await c.one.die()
            await first
            events, error = await second
            assert tokens(events) == [100, 101, 102]
            assert error.reason is Reason.STREAM_INTERRUPTED

    run(scenario())


def test_an_answer_of_another_model_by_that_name_is_made_anew(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(2.5 * PACE)
            await c.one.die()
            await first
            c.world.router.digest = "digest-2"
            c.world.router.changed.set()
            await asyncio.sleep(6)
            events, _ = await c.two.answer("r2")
            assert whole(events)
            assert not c.world.workers["a"].requests[-1][0].resume.choices

    run(scenario())


def test_an_owner_that_comes_back_too_late_stops(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1", ask(max_tokens=40))))
            await asyncio.sleep(2.5 * PACE)
            c.one.wire.dead = True
            await asyncio.sleep(6)
            second = asyncio.create_task(c.two.answer("r2", ask(max_tokens=40)))
            await asyncio.sleep(1)
            c.one.wire.dead = False
            _, error = await first
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert "another gateway" in error.message
            assert whole((await second)[0], 40)
            # The hold is one for both: only who makes the whole answer says what it cost.
            charged = [end.progress.completion_tokens for end in c.world.ledger.settled if end.request_id == "r1"]
            assert charged == [40]

    run(scenario())


def test_a_long_answer_keeps_its_lease_while_nothing_comes(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=30.0) as c:
            first = asyncio.create_task(c.one.answer("r1", ask(max_tokens=3)))
            await asyncio.sleep(20)
            events, _ = await c.two.answer("r2", ask(max_tokens=3))
            assert c.two.claims == ["running"]
            assert about(events) == about((await first)[0])

    run(scenario())


# Stops.


def test_a_drain_waits_for_answers_whose_clients_have_gone(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            await read(await c.one.open("r1"), 1)
            await c.one.keyed.drain(60.0)
            assert len(c.one.keyed) == 0
            assert c.world.record.error == ""

    run(scenario())


def test_what_a_stop_cuts_off_is_made_anew_by_the_next(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(2.5 * PACE)
            await c.one.keyed.close()
            _, error = await first
            assert error.reason is Reason.DRAINING
            events, answer = await c.two.answer("r2")
            assert whole(events)
            assert (answer.answer_id, c.runs()) == ("r2", ["r1", "r2"])

    run(scenario())


def test_choices_are_resumed_each_where_it_was(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            request = ask(sampling=Sampling(max_tokens=4, n=2))
            first = asyncio.create_task(breaks(await c.one.open("r1", request)))
            await asyncio.sleep(3.5 * PACE)
            await c.one.die()
            await first
            await asyncio.sleep(6)
            events, _ = await c.two.answer("r2", request)
            assert whole(events, 4, 0)
            assert whole(events, 4, 1)

    run(scenario())
