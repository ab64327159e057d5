"""Workers that are left alone: what a call finds of them shuts nobody out of those that are well."""

from __future__ import annotations

from libs.errors import Reason
from libs.resilience.breaker import BreakerRule
from libs.testing.loop import run
from tests.unit.services.gateway.usecases.test_choice import tiers
from tests.unit.services.gateway.usecases.world import Worker, World, ask, whole

RULE = BreakerRule(failures_in_a_row=3, calls_min=6, open_seconds=10.0, jitter=0.0)
REFUSED = ("refuse", Reason.INTERNAL)


async def leave_alone(world, name):
    """Calls until the breaker of this worker is open."""
    others, world.router.workers = world.router.workers, [world.workers[name]]
    world.workers[name].script = [("engine", 0)]
    await world.failure()
    world.router.workers = others


def test_a_request_that_one_worker_refuses_does_not_shut_that_worker_to_others(tmp_path):
    """The other one is left alone: so nobody is left for this request, but somebody is for the next."""

    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path, breakers=RULE) as world:
            await leave_alone(world, "a")
            world.workers["b"].script = [REFUSED]
            _, error = await world.failure()
            assert error.reason in (Reason.INTERNAL, Reason.NO_WORKER)
            assert whole(await world.answer())

    run(scenario())


def test_pools_of_one_model_are_left_alone_each_for_itself(tmp_path):
    """Both serve the same weights, on workers of their own."""

    async def scenario():
        async with World([Worker("a"), Worker("b")], tmp_path, breakers=RULE) as world:
            tiers(world)
            world.workers["a"].script = [("engine", 0)]
            assert whole(await world.answer(ask(model="auto")))
            for _ in range(3):
                events = await world.answer(ask(model="auto"))
                assert (events[0].worker, world.record.route.passed_over[0].why) == ("b", Reason.NO_WORKER)

    run(scenario())


def test_workers_that_failed_under_another_model_are_none_of_this_ones(tmp_path):
    async def scenario():
        async with World([Worker(name) for name in "abcd"], tmp_path, breakers=RULE) as world:
            tiers(world)
            workers = world.workers
            world.router.of_model = {"m": [workers["a"], workers["b"]], "small": [workers["c"], workers["d"]]}
            world.router.plan_size = 1
            world.router.changed.set()
            await world.clock.sleep(0.1)
            workers["c"].script = [("engine", 0)]
            assert whole(await world.answer(ask(model="small")))
            workers["a"].script, workers["b"].script = [REFUSED], [REFUSED]
            events = await world.answer(ask(model="auto"))
            assert events[0].worker == "d"

    run(scenario())
