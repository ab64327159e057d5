"""A bound session is placed from memory; everything that could change its plan asks the router."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.placements import PlacementLimits, RememberingRouter
from services.gateway.domain.plan import Candidate, PlaceQuery, Plan

QUERY = PlaceQuery("r1", "acme", "m", "d1", 10, session="s1")


class Router:
    def __init__(self, reason="bound", *, uncertain=False):
        self.reason, self.uncertain, self.asked, self.down = reason, uncertain, [], False

    async def choose(self, model, session, *, timeout, metadata):
        return [model, session]

    async def place(self, query, *, timeout, metadata):
        self.asked.append(query)
        if self.down:
            raise PlatformError(Reason.ROUTER_UNAVAILABLE, "away", started=False)
        return Plan([Candidate(f"w{len(self.asked)}", "a:1", "b", "d1", self.reason)], 1, self.uncertain)


class Scene:
    def __init__(self, router, **limits):
        self.router, self.clock, self.version, self.registry = router, FakeClock(), 1, Registry()
        limits = PlacementLimits(**limits)
        self.remembering = RememberingRouter(router, lambda: self.version, self.clock, limits, self.registry)

    async def place(self, **changes):
        plan = await self.remembering.place(replace(QUERY, **changes), timeout=1.0, metadata={})
        return plan.candidates[0].worker


def test_a_bound_session_is_placed_again_without_asking():
    async def scenario():
        scene = Scene(Router())
        assert [await scene.place(request_id=f"r{i}") for i in range(3)] == ["w1"] * 3
        assert len(scene.router.asked) == 1
        assert b'headrace_gateway_placements_total{source="remembered"} 2.0' in scene.registry.render()[1]
        scene.router.down = True
        assert await scene.place() == "w1"

    run(scenario())


@pytest.mark.parametrize(
    "other", [{"tenant": "evil"}, {"session": "s2"}, {"model": "small"}, {"model_digest": "d2"}, {"session": ""}]
)
def test_another_tenant_session_model_or_variant_is_another_plan(other):
    async def scenario():
        scene = Scene(Router())
        await scene.place()
        assert await scene.place(**other) == "w2"
        assert await scene.place() == "w1"

    run(scenario())


def test_a_change_among_the_workers_a_failure_and_time_end_it():
    async def scenario():
        scene = Scene(Router())
        await scene.place()
        scene.version += 1
        assert await scene.place() == "w2"
        assert await scene.place(exclude_workers=("w2",)) == "w3"
        assert await scene.place() == "w4"  # what was remembered before the failure is gone, and the detour not kept
        await scene.clock.sleep(30)
        assert await scene.place() == "w5"

    run(scenario())


def test_a_failure_that_the_plans_spare_made_good_ends_it_too():
    async def scenario():
        scene = Scene(Router())
        await scene.place()
        scene.remembering.forget(replace(QUERY, session="s2"))
        assert await scene.place() == "w1"
        scene.remembering.forget(QUERY)
        scene.remembering.forget(QUERY)
        assert await scene.place() == "w2"

    run(scenario())


@pytest.mark.parametrize("router", [Router("rendezvous"), Router("spare"), Router(uncertain=True)])
def test_only_a_settled_binding_is_remembered(router):
    async def scenario():
        scene = Scene(router)
        assert [await scene.place(), await scene.place()] == ["w1", "w2"]

    run(scenario())


def test_a_catalog_that_changes_while_the_router_is_asked_makes_the_answer_old():
    async def scenario():
        scene = Scene(Router())
        ask = scene.router.place

        async def slowly(query, **more):
            scene.version += 1
            return await ask(query, **more)

        scene.router.place = slowly
        assert [await scene.place(), await scene.place()] == ["w1", "w2"]

    run(scenario())


def test_it_can_be_switched_off_and_is_bounded():
    async def scenario():
        scene = Scene(Router(), keep_seconds=0.0)
        assert [await scene.place(), await scene.place()] == ["w1", "w2"]
        scene = Scene(Router(), sessions_max=2)
        for session in ("a", "b", "a", "c", "a"):
            await scene.place(session=session)
        assert [query.session for query in scene.router.asked] == ["a", "b", "c"]
        await scene.place(session="b")
        assert len(scene.router.asked) == 4

    run(scenario())


def test_choose_is_passed_on():
    async def scenario():
        scene = Scene(Router())
        assert await scene.remembering.choose("auto", "s", timeout=1.0, metadata={}) == ["auto", "s"]

    run(scenario())
