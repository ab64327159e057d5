"""Requests that workers die of: two deaths are enough, over calls, gateways and models; bystanders are cleared."""

from __future__ import annotations

import asyncio

from libs.errors import Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.quarantine import MemorySuspects
from services.gateway.domain.quarantine import fingerprint
from services.gateway.domain.turns import Sampling
from tests.unit.services.gateway.usecases.test_attempts import NEVER
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole


class Shared(MemorySuspects):
    """What several gateways look into: to each of them all is news."""

    async def suspects(self):
        self._changed = True
        return await super().suspects()


def world_of(workers, tmp_path, suspects=None):
    return World(workers, tmp_path, breakers=NEVER, suspects=suspects)


async def told(world):
    """Questions whether workers live, and what they lead to, are done."""
    await asyncio.sleep(1.5)
    assert world


def sent(world):
    return sum(len(worker.requests) for worker in world.workers.values())


def test_what_killed_two_workers_in_one_call_is_refused_when_it_comes_again(tmp_path):
    async def scenario():
        workers = [Worker("a", [("die", 0)]), Worker("b", [("die", 0)]), Worker("c"), Worker("d")]
        async with world_of(workers, tmp_path) as world:
            await world.failure()
            await told(world)
            before = sent(world)
            _, error = await world.failure()
            assert (error.reason, error.http_status) == (Reason.REQUEST_QUARANTINED, 422)
            assert error.retry_after_seconds > 100
            assert "2 workers have died" in error.message
            assert sent(world) == before
            assert whole(await world.answer(ask("something else")))
            assert whole(await world.answer(ask(sampling=Sampling(max_tokens=6, seed=1))))
            await asyncio.sleep(120)
            assert whole(await world.answer())

    run(scenario())


def test_one_death_in_each_of_two_calls_counts_two_and_the_second_call_stops_there(tmp_path):
    async def scenario():
        async with world_of([Worker("a", [("die", 2)])], tmp_path) as world:
            events, error = await world.failure()
            assert events
            assert error.reason is Reason.STREAM_INTERRUPTED
            await told(world)
            world.workers["b"] = Worker("b", [("die", 0)])
            world.workers["c"] = Worker("c")
            world.router.workers = [world.workers["b"], world.workers["c"]]
            _, error = await world.failure()
            assert error.reason is Reason.WORKER_LOST
            assert not world.workers["c"].requests
            await told(world)
            _, error = await world.failure()
            assert error.reason is Reason.REQUEST_QUARANTINED

    run(scenario())


def test_what_ran_beside_a_dying_worker_is_cleared_by_its_answer(tmp_path):
    async def scenario():
        workers = [Worker("a", [("die", 2)]), Worker("b", [("", 0), ("die", 2)]), Worker("c")]
        async with world_of(workers, tmp_path) as world:
            assert whole(await world.answer())
            await told(world)
            world.router.workers = [world.workers["b"], world.workers["c"]]
            assert whole(await world.answer())
            await told(world)
            assert whole(await world.answer())

    run(scenario())


def test_an_answer_that_comes_before_the_death_is_certain_clears_all_the_same(tmp_path):
    async def scenario():
        stopped, other = Worker("a", [("die", 2)]), Worker("b")
        async with world_of([stopped, other], tmp_path) as world:

            async def slow_to_say(address, boot_id):
                await asyncio.sleep(0.2)
                return True

            world.pipeline._services.means.quarantine._died = slow_to_say
            assert whole(await world.answer())
            await told(world)
            stopped.channel.restore()
            stopped.script.append(("die", 2))
            assert whole(await world.answer())
            await told(world)
            assert whole(await world.answer())

    run(scenario())


def test_a_lost_connection_to_a_worker_that_lives_is_no_death(tmp_path):
    async def scenario():
        workers = [Worker("a", [("disconnect", 0)] * 9), Worker("b", [("disconnect", 0)] * 9)]
        async with world_of(workers, tmp_path) as world:
            for _ in range(2):
                await world.failure()
            await told(world)
            for worker in workers:
                worker.script.clear()
            assert whole(await world.answer())

    run(scenario())


def test_workers_that_stand_still_are_not_dead_and_put_nobody_under_suspicion(tmp_path):
    async def scenario():
        workers = [Worker("a", [("hang", 0)]), Worker("b", [("hang", 0)]), Worker("c")]
        async with world_of(workers, tmp_path) as world:
            for worker in workers:
                worker.frozen = True
            await world.failure()
            await told(world)
            for worker in workers:
                worker.frozen = False
            await asyncio.sleep(5)
            assert whole(await world.answer())

    run(scenario())


def test_another_gateway_knows_within_a_second(tmp_path):
    async def scenario():
        clock = FakeClock()
        store = Shared(clock, 120.0)
        killed = [Worker("a", [("die", 0)]), Worker("b", [("die", 0)])]
        async with world_of(killed, tmp_path, store) as one:
            await one.failure()
            await told(one)
        async with world_of([Worker("c")], tmp_path, store) as other:
            await asyncio.sleep(1.0)
            _, error = await other.failure()
            assert error.reason is Reason.REQUEST_QUARANTINED

    run(scenario())


def test_a_fingerprint_is_of_all_that_an_engine_gets_and_of_nothing_else():
    base = fingerprint(ask("hello"), b"secret")
    assert base == fingerprint(ask("hello", model="other", user="u", metadata={"a": "b"}), b"secret")
    others = [
        ask("hellp"), ask("hello", max_tokens=7), ask("hello", sampling=Sampling(max_tokens=6, seed=1)),
        ask("hello", sampling=Sampling(max_tokens=6, stop=("x",))),
    ]  # fmt: skip
    found = {fingerprint(other, b"secret") for other in others} | {fingerprint(ask("hello"), b"another secret")}
    assert base not in found
    assert len(found) == 5
