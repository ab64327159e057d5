"""Calls that wait because every worker pushes back: who goes next, when, and what those are told who never do."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.resilience.limiter import LimiterRule
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.domain.fair_queue import QueueBounds
from services.gateway.domain.turns import Principal
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.waiting import QueuedCall, WaitingRoom, WaitLimits
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

FULL = ("refuse", Reason.OVERLOADED)


def refusal(seconds=None):
    return PlatformError(Reason.OVERLOADED, "full", retry_after_seconds=seconds, started=False)


class Told:
    def __init__(self):
        self.waits, self.refusals, self.pools = [], [], {}

    def waited(self, outcome, seconds):
        self.waits.append((outcome, round(seconds, 3)))

    def refused(self, why):
        self.refusals.append(why)

    def opened(self, model, limit, in_flight):
        self.pools[model] = (limit, in_flight)


class Room:
    """A waiting room on virtual time; `calls` start in order and note when they have their turn."""

    def __init__(self, *, jitter=0.0, workers=1, **limits):
        self.clock, self.told = FakeClock(), Told()
        self.began = self.clock.monotonic()
        self.room = WaitingRoom(
            self.clock, WaitLimits(**limits), self.told, workers=lambda _: workers, uniform=lambda: jitter
        )
        self.turns, self.tasks = [], []
        self.tickets, self.running = {}, []

    def call(self, tenant="acme", priority=0, seconds=600.0):
        deadline = Deadline(self.clock, self.clock.monotonic() + seconds, 0.0)
        return QueuedCall("m", tenant, priority, deadline)

    def run(self, count=1, tenant="acme", model="m"):
        """Calls that find a place and run."""
        for _ in range(count):
            ticket = self.room.enter(model, tenant)
            assert ticket is not None
            self.room.served(ticket, self.clock.monotonic(), 0.0)
            self.running.append(ticket)

    def end(self, ticket=None):
        self.room.leave(ticket or self.running.pop(0))

    def begin(self, name, error=None, **more):
        """A call that waits: refused by its worker with `error`, or without a place."""
        held = self.tickets.pop(name, None)
        if error is not None and held is None:
            held = self.room.enter("m", more.get("tenant", "acme"))
        task = asyncio.get_running_loop().create_task(self._wait(name, self.call(**more), error, held))
        self.tasks.append(task)
        return task

    async def _wait(self, name, call, error, held):
        self.tickets[name] = await self.room.wait(call, error, held)
        self.turns.append((name, round(self.clock.monotonic() - self.began, 3)))

    def served(self, name):
        self.room.served(self.tickets[name], self.clock.monotonic(), 0.0)

    async def pass_time(self, seconds):
        await asyncio.sleep(seconds)
        for _ in range(5):
            await asyncio.sleep(0)

    def names(self):
        return [name for name, _ in self.turns]

    def in_flight(self, model="m"):
        return self.told.pools[model][1]()


@asynccontextmanager
async def room(**limits):
    made = Room(**limits)
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)
    for ticket in (*made.tickets.values(), *made.running):
        made.room.leave(ticket)
        made.room.leave(ticket)
    assert not made.room.has_queue("m")
    assert len(made.room) == 0
    assert made.in_flight() == 0


def slots(number, **more):
    """Limits with exactly so many places."""
    return {"limiter": LimiterRule(start_per_worker=number, limit_max=number), **more}


def test_a_turn_comes_when_the_refusals_time_is_over():
    async def scenario():
        async with room(jitter=0.5) as made:
            made.begin("r1", refusal(2.0))
            await made.pass_time(10)
            assert made.turns == [("r1", 2.25)]

    run(scenario())


def test_a_refusal_without_a_time_is_tried_again_after_the_default():
    async def scenario():
        async with room(retry_seconds=0.5) as made:
            made.begin("r1", refusal())
            await made.pass_time(10)
            assert made.turns == [("r1", 0.5)]

    run(scenario())


def test_a_running_call_that_ends_wakes_one():
    async def scenario():
        async with room() as made:
            made.run(model="another model")
            made.run()
            made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            await made.pass_time(1)
            assert made.turns == []
            made.end()
            await made.pass_time(1)
            assert made.turns == [("r1", 2.0)]

    run(scenario())


def test_who_is_served_makes_way_for_the_next_and_who_is_refused_does_not():
    async def scenario():
        async with room() as made:
            for name in ("r1", "r2", "r3"):
                made.begin(name, refusal(5.0))
            await made.pass_time(5.1)
            assert made.names() == ["r1"]
            made.served("r1")
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]
            made.begin("r2", refusal(5.0))
            await made.pass_time(4)
            assert made.names() == ["r1", "r2"]
            await made.pass_time(1.2)
            assert made.names() == ["r1", "r2", "r2"]

    run(scenario())


def test_without_refusals_time_alone_gives_more_and_more_turns():
    async def scenario():
        async with room(retry_seconds=1.0) as made:
            for number in range(7):
                made.begin(f"r{number}", refusal(1.0))
            await made.pass_time(3.5)
            assert [at for _, at in made.turns] == [1.0, 2.0, 2.0, 3.0, 3.0, 3.0, 3.0]

    run(scenario())


def test_new_calls_queue_up_behind_those_who_wait():
    async def scenario():
        async with room() as made:
            assert not made.room.has_queue("m")
            made.run()
            made.begin("r1", refusal(5.0))
            await made.pass_time(0)
            assert made.room.has_queue("m")
            assert made.room.enter("m", "acme") is None
            assert not made.room.has_queue("another")
            made.run(model="another")
            made.begin("r2")
            await made.pass_time(0)
            made.end()
            await made.pass_time(0)
            assert made.names() == ["r1"]
            made.served("r1")
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]

    run(scenario())


def test_another_tenants_single_call_does_not_wait_for_the_crowd():
    async def scenario():
        async with room() as made:
            made.run(2)
            for number in range(100):
                made.begin(f"crowd-{number}", refusal(20.0), tenant="crowd")
            await made.pass_time(0)
            made.begin("alone", tenant="alone")
            await made.pass_time(0)
            for _ in range(2):
                made.end()
            await made.pass_time(0)
            assert "alone" in made.names()

    run(scenario())


def test_who_waits_too_long_is_told_how_long_and_when_to_come_back():
    async def scenario():
        async with room(wait_seconds_max=30.0) as made:
            late = made.begin("r1", refusal(30.0))
            await made.pass_time(1)
            made.begin("r2", refusal(30.0))
            with pytest.raises(PlatformError) as caught:
                await late
            error = caught.value
            assert (error.reason, error.http_status, error.started) == (Reason.OVERLOADED, 429, False)
            assert error.retry_after_seconds >= 1.0
            assert "waited 30.0 s" in error.message
            assert "1 calls wait" in error.message
            assert made.told.refusals[0] == "late"
            assert made.told.waits[0] == ("refused", 30.0)

    run(scenario())


def test_the_callers_own_deadline_ends_the_wait_earlier():
    async def scenario():
        async with room() as made:
            late = made.begin("r1", refusal(20.0), seconds=3.0)
            with pytest.raises(PlatformError) as caught:
                await late
            assert caught.value.reason is Reason.OVERLOADED
            assert made.clock.monotonic() - made.began == pytest.approx(3.0)

    run(scenario())


async def _refused_at_once(made, tenant):
    before = made.clock.monotonic()
    with pytest.raises(PlatformError) as caught:
        await made.room.wait(made.call(tenant=tenant), None)
    assert (caught.value.reason, made.clock.monotonic()) == (Reason.OVERLOADED, before)
    assert caught.value.retry_after_seconds >= 1.0


def test_a_full_queue_refuses_at_once():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=2, tenant_max=1)) as made:
            made.begin("r1", refusal(20.0))
            await made.pass_time(0)
            await _refused_at_once(made, "acme")
            made.begin("r2", tenant="b")
            await made.pass_time(0)
            await _refused_at_once(made, "c")
            assert made.told.refusals == ["full", "full"]

    run(scenario())


def test_a_refusal_that_outlasts_any_wait_is_told_at_once():
    async def scenario():
        async with room(wait_seconds_max=30.0) as made:
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(), refusal(60.0), made.room.enter("m", "acme"))
            assert caught.value.retry_after_seconds == 60.0

    run(scenario())


def test_a_caller_that_goes_away_leaves_the_queue_at_once():
    async def scenario():
        async with room() as made:
            task = made.begin("r1", refusal(20.0))
            await made.pass_time(1)
            assert len(made.room) == 1
            task.cancel()
            await made.pass_time(0)
            assert len(made.room) == 0
            assert not made.room.has_queue("m")
            assert made.told.waits == [("gone", 1.0)]

    run(scenario())


def test_a_turn_that_its_caller_cannot_use_goes_to_the_next():
    async def scenario():
        async with room() as made:
            made.run()
            first = made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            first.cancel()
            await made.pass_time(0)
            assert made.names() == ["r2"]

    run(scenario())


def test_a_call_that_fails_in_its_turn_makes_way():
    async def scenario():
        async with room() as made:
            made.run()
            made.begin("r1", refusal(20.0))
            made.begin("r2", refusal(20.0))
            await made.pass_time(1)
            made.end()
            await made.pass_time(0)
            made.end(made.tickets["r1"])
            await made.pass_time(0)
            assert made.names() == ["r1", "r2"]

    run(scenario())


async def _learnt(made, seconds, places):
    """All places have calls that take so long."""
    made.run()
    await made.pass_time(seconds)
    made.end()
    made.run(places)


def test_calls_beyond_the_limit_wait_and_go_as_places_become_free():
    async def scenario():
        async with room(**slots(2)) as made:
            made.run(2)
            assert made.room.enter("m", "acme") is None
            for name in ("r1", "r2", "r3"):
                made.begin(name)
            await made.pass_time(1)
            assert made.turns == []
            made.end()
            await made.pass_time(1)
            made.end()
            await made.pass_time(0)
            assert made.turns == [("r1", 1.0), ("r2", 2.0)]
            assert made.in_flight() == 2

    run(scenario())


def test_who_would_wait_for_too_long_is_refused_at_the_door_with_the_true_time():
    async def scenario():
        async with room(wait_seconds_max=10.0, standing_seconds=100.0, **slots(2)) as made:
            await _learnt(made, 4.0, 2)
            for number in range(4):
                made.begin(f"r{number}")
            await made.pass_time(0)
            # A turn every 2 s: the fifth would come in 10 s, the sixth in 12.
            made.room.check("m", "acme", 0, made.call().deadline)
            made.begin("r4")
            await made.pass_time(0)
            with pytest.raises(PlatformError) as caught:
                made.room.check("m", "acme", 0, made.call().deadline)
            assert (caught.value.reason, caught.value.started) == (Reason.OVERLOADED, False)
            assert caught.value.retry_after_seconds == pytest.approx(12.0)
            with pytest.raises(PlatformError):
                await made.room.wait(made.call(), None)
            assert made.told.refusals == ["hopeless", "hopeless"]
            assert len(made.room) == 5

    run(scenario())


def test_a_callers_own_time_counts_at_the_door():
    async def scenario():
        async with room(standing_seconds=100.0, **slots(2)) as made:
            await _learnt(made, 4.0, 2)
            made.begin("r0")
            await made.pass_time(0)
            made.room.check("m", "acme", 0, made.call(seconds=5.0).deadline)
            with pytest.raises(PlatformError):
                made.room.check("m", "acme", 0, made.call(seconds=3.0).deadline)

    run(scenario())


def test_a_burst_may_wait_for_long_and_a_queue_that_stands_may_not():
    async def scenario():
        async with room(standing_seconds=4.0, **slots(2)) as made:
            await _learnt(made, 2.0, 2)
            for number in range(10):
                made.begin(f"r{number}")
            await made.pass_time(0.5)
            made.room.check("m", "acme", 0, made.call().deadline)
            await made.pass_time(0.6)
            with pytest.raises(PlatformError) as caught:
                made.room.check("m", "acme", 0, made.call().deadline)
            assert "may" in caught.value.message or "left" in caught.value.message
            # A tenant with nobody there waits for one turn only.
            made.room.check("m", "another", 0, made.call().deadline)

    run(scenario())


def test_a_queue_that_stands_takes_as_many_as_run_however_long_they_do():
    async def scenario():
        async with room(standing_seconds=1.0, wait_seconds_max=100.0, **slots(2)) as made:
            await _learnt(made, 40.0, 2)
            made.begin("r0")
            await made.pass_time(15)
            made.begin("r1")
            await made.pass_time(0)
            assert len(made.room) == 2
            with pytest.raises(PlatformError):
                made.room.check("m", "acme", 0, made.call().deadline)

    run(scenario())


def test_one_tenants_long_calls_leave_the_others_their_share_of_the_places():
    async def scenario():
        async with room(tenant_share=0.5, **slots(4)) as made:
            made.run(4, tenant="crowd")
            for number in range(20):
                made.begin(f"crowd-{number}", tenant="crowd")
            await made.pass_time(0)
            for number in range(3):
                made.begin(f"alone-{number}", tenant="alone")
            await made.pass_time(0)
            made.end()
            made.end()
            await made.pass_time(0)
            # "crowd" has two of four still: it gets none before the other has its half.
            assert made.names() == ["alone-0", "alone-1"]
            made.end()
            await made.pass_time(0)
            assert made.names()[2:] == ["crowd-0"]

    run(scenario())


def test_a_tenant_that_is_alone_may_have_every_place():
    async def scenario():
        async with room(tenant_share=0.25, **slots(4)) as made:
            made.run(4)
            for number in range(4):
                made.begin(f"r{number}")
            await made.pass_time(0)
            for _ in range(4):
                made.end()
            await made.pass_time(0)
            assert made.names() == ["r0", "r1", "r2", "r3"]

    run(scenario())


def test_a_full_queue_makes_room_for_a_higher_priority():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=2), **slots(1)) as made:
            made.run()
            made.begin("early", tenant="a")
            low = made.begin("low", tenant="b", priority=-1)
            await made.pass_time(1)
            made.begin("high", tenant="c", priority=2)
            with pytest.raises(PlatformError) as caught:
                await low
            assert caught.value.reason is Reason.OVERLOADED
            assert caught.value.retry_after_seconds >= 1.0
            assert made.told.refusals == ["displaced"]
            assert made.told.waits == [("refused", 1.0)]
            assert len(made.room) == 2
            with pytest.raises(PlatformError):
                made.room.check("m", "d", -1, made.call().deadline)

    run(scenario())


def test_a_full_queue_makes_room_for_a_tenant_that_has_less_of_it():
    async def scenario():
        async with room(bounds=QueueBounds(waiting_max=4), **slots(1)) as made:
            made.run()
            crowd = [made.begin(f"crowd-{number}", tenant="crowd") for number in range(4)]
            await made.pass_time(0)
            made.begin("a", tenant="a")
            made.begin("b", tenant="b")
            await made.pass_time(0)
            assert [task.done() for task in crowd] == [False, False, True, True]
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(tenant="crowd"), None)
            assert "no more of yours may" in caught.value.message
            for task in crowd[2:]:
                assert task.exception().reason is Reason.OVERLOADED

    run(scenario())


def test_without_a_queue_what_finds_no_place_is_refused():
    async def scenario():
        async with room(wait_seconds_max=0.0, **slots(1)) as made:
            made.run()
            with pytest.raises(PlatformError) as caught:
                await made.room.wait(made.call(), None)
            assert caught.value.reason is Reason.OVERLOADED

    run(scenario())


def test_who_is_refused_without_a_wait_leaves_the_others_a_way_on():
    async def scenario():
        async with room(wait_seconds_max=5.0, **slots(1)) as made:
            held = made.room.enter("m", "acme")
            made.begin("r1")
            await made.pass_time(0)
            # Its provider names a time beyond the longest wait; nobody runs who could end.
            with pytest.raises(PlatformError):
                await made.room.wait(made.call(), refusal(60.0), held)
            await made.pass_time(3)
            assert made.names() == ["r1"]

    run(scenario())


class Storm:
    """Random callers on virtual time, who come, are refused, are served, leave, give up, at any point."""

    def __init__(self, made, seed):
        self.made, self.random = made, random.Random(seed)
        self.most = 0

    async def caller(self, number):
        room, rng = self.made.room, self.random
        await asyncio.sleep(rng.random() * 20)
        tenant, model = rng.choice("abc"), rng.choice(["m", "n"])
        call = QueuedCall(model, tenant, rng.randint(-2, 2), self.made.call(seconds=rng.choice([2, 8, 60])).deadline)
        ticket = None
        try:
            ticket = room.enter(model, tenant)
            error = None
            while True:
                if ticket is None:
                    ticket = await room.wait(call, error)
                elif error is not None:
                    held, ticket = ticket, None
                    ticket = await room.wait(call, error, held)
                self.most = max(self.most, self.made.in_flight(model))
                await asyncio.sleep(rng.random() * 0.2)
                if rng.random() > 0.2:
                    break
                error = refusal(rng.choice([None, 0.5, 60.0]))
            if rng.random() > 0.1:
                room.served(ticket, self.made.clock.monotonic(), rng.choice([0.0, 0.0, 0.3]))
            await asyncio.sleep(rng.random() * 2)
            if rng.random() < 0.1:
                raise RuntimeError("a defect")  # noqa: TRY301 - this is what callers do
        except (PlatformError, RuntimeError):
            pass
        finally:
            if ticket is not None:
                room.leave(ticket)

    async def run(self, callers=300):
        tasks = [asyncio.get_running_loop().create_task(self.caller(number)) for number in range(callers)]
        for _ in range(60):
            await asyncio.sleep(0.5)
            self.random.choice(tasks).cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("seed", range(12))
def test_whatever_callers_do_every_place_comes_back(seed):
    async def scenario():
        bounds = QueueBounds(waiting_max=20, tenant_max=12)
        async with room(bounds=bounds, wait_seconds_max=10.0, **slots(5)) as made:
            made.run()
            made.run(model="n")
            storm = Storm(made, seed)
            await storm.run()
            for ticket in made.running:
                made.room.leave(ticket)
            assert 2 < storm.most <= 5
            assert (made.in_flight("m"), made.in_flight("n")) == (0, 0)
            assert len(made.room) == 0
            # And the next call finds a place.
            ticket = made.room.enter("m", "a")
            assert ticket is not None
            made.room.leave(ticket)

    run(scenario())


# Through the pipeline.


def test_a_call_waits_until_its_worker_has_room_and_says_so(tmp_path):
    async def scenario():
        async with World([Worker("a", [FULL, FULL]), Worker("b", [FULL])], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            # The workers' refusals name 2 s; "a" refuses twice.
            assert 2000 <= events[-1].queued_ms <= 5000
            assert world.record.queued_ms == events[-1].queued_ms
            assert world.record.error == ""
            assert [worker for worker, _ in world.attempts()] == ["a", "b", "a", "b"]

    run(scenario())


def test_a_call_that_never_gets_room_is_429(tmp_path):
    async def scenario():
        async with World([Worker("a", [FULL] * 99)], tmp_path) as world:
            events, error = await world.failure()
            assert (events, error.reason) == ([], Reason.OVERLOADED)
            assert "waited 30.0 s" in error.message
            assert 29_000 <= world.record.ended_at * 1000 - world.record.started_at * 1000 <= 31_000

    run(scenario())


def test_calls_that_come_later_do_not_overtake(tmp_path):
    async def scenario():
        worker = Worker("a", [FULL])
        async with World([worker], tmp_path) as world:
            first = asyncio.create_task(world.answer(request_id="first"))
            await asyncio.sleep(1)
            second = asyncio.create_task(world.answer(request_id="second"))
            await asyncio.gather(first, second)
            order = [request.call_seed for request, _ in worker.requests]
            assert order == ["first", "first", "second"]

    run(scenario())


def test_the_end_of_a_running_call_wakes_one_that_waits(tmp_path):
    async def scenario():
        worker = Worker("a", [("", 0), ("refuse", Reason.OVERLOADED)])
        worker.pace = 0.2
        async with World([worker], tmp_path) as world:
            running = asyncio.create_task(world.answer(request_id="running"))
            await asyncio.sleep(0.1)
            events = await world.answer(request_id="waiting")
            await running
            assert events[-1].queued_ms < 1500

    run(scenario())


def test_a_stream_that_lost_its_worker_waits_for_room_elsewhere(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b", [FULL])], tmp_path) as world:
            events = await world.answer()
            assert whole(events)
            assert events[-1].resumed
            assert events[-1].queued_ms > 0

    run(scenario())


def test_a_stream_that_finds_no_room_elsewhere_is_interrupted(tmp_path):
    async def scenario():
        async with World([Worker("a", [("die", 2)]), Worker("b", [FULL] * 99)], tmp_path) as world:
            events, error = await world.failure()
            assert events
            assert error.reason is Reason.STREAM_INTERRUPTED

    run(scenario())


def test_a_priority_is_taken_from_the_principal(tmp_path):
    async def scenario():
        worker = Worker("a", [FULL])
        async with World([worker], tmp_path) as world:
            names = ["first", "plain", "urgent"]
            priorities = dict.fromkeys(names, 0) | {"urgent": 3}
            tasks = []
            for name in names:
                principal = Principal("acme", "key-1", priority=priorities[name])
                tasks.append(asyncio.create_task(world.answer(ask(name), principal, request_id=name)))
                await asyncio.sleep(0.1)
            await asyncio.gather(*tasks)
            order = [request.call_seed for request, _ in worker.requests]
            assert order == ["first", "urgent", "first", "plain"]

    run(scenario())


def test_a_failed_calls_place_is_free_again(tmp_path):
    async def scenario():
        waiting = WaitLimits(limiter=LimiterRule(1, 1))
        bad = Worker("a", [("refuse", Reason.INVALID_REQUEST)])
        async with World([bad], tmp_path, waiting=waiting) as world:
            _, error = await world.failure()
            assert error.reason is Reason.INVALID_REQUEST
            events = await world.answer()
            assert whole(events)
            assert events[-1].queued_ms == 0

    run(scenario())


def test_a_hopeless_call_costs_nothing(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.pace = 0.5
        waiting = WaitLimits(limiter=LimiterRule(1, 1), standing_seconds=0.1)
        async with World([worker], tmp_path, waiting=waiting) as world:
            await world.answer(request_id="first")
            tasks = [asyncio.create_task(world.answer(request_id=f"r{number}")) for number in range(3)]
            await asyncio.sleep(2)
            ended, placed = len(world.ledger.settled), len(world.router.places)
            _, error = await world.failure()
            assert (error.reason, error.http_status, error.started) == (Reason.OVERLOADED, 429, False)
            assert error.retry_after_seconds > 1
            assert (len(world.ledger.settled), len(world.router.places)) == (ended, placed)
            assert world.record.error == Reason.OVERLOADED
            assert world.record.prompt_tokens == 0
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(scenario())
