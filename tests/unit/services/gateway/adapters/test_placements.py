"""A bound session is placed from memory; everything that could change its plan asks the router."""

from __future__ import annotations

from dataclasses import replace

import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.adapters.placements import PlacementLimits, RememberingRouter
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.plan import Candidate, PlaceQuery, Plan
from services.gateway.domain.route import Choice
from services.gateway.domain.turn_facts import TurnFacts

QUERY = PlaceQuery("r1", "acme", "m", "d1", 10, session="s1")


class Router:
    def __init__(self, reason="bound", *, uncertain=False):
        self.reason, self.uncertain, self.asked, self.down = reason, uncertain, [], False
        self.chosen = []

    async def choose(self, query, *, timeout, metadata):
        self.chosen.append(query)
        return Choices((Choice(f"m{len(self.chosen)}", "classified", "small"), Choice("up", "fallback-up", "large")))

    async def place(self, query, *, timeout, metadata):
        self.asked.append(query)
        if self.down:
            raise PlatformError(Reason.ROUTER_UNAVAILABLE, "away", started=False)
        return Plan([Candidate(f"w{len(self.asked)}", "a:1", "b", "d1", self.reason)], 1, self.uncertain)


class Scene:
    def __init__(self, router, **limits):
        self.router, self.clock, self.version, self.registry = router, FakeClock(), 1, Registry()
        limits = PlacementLimits(**limits)
        self.remembering = RememberingRouter(
            router, lambda: self.version, self.clock, limits, self.registry, uniform=lambda: 0.0
        )

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


STEP = ChooseQuery("r1", "acme", "auto", TurnFacts(tool_depth=1), session="s1")


async def chosen(scene, query):
    found = await scene.remembering.choose(query, timeout=1.0, metadata={})
    return found.choices[0].model, found.choices[0].reason


def test_a_choice_holds_for_the_steps_of_a_tool_loop():
    async def scenario():
        scene = Scene(Router())
        assert await chosen(scene, replace(STEP, turn=TurnFacts())) == ("m1", "classified")
        assert [await chosen(scene, STEP) for _ in range(3)] == [("m1", "sticky")] * 3
        assert len(scene.router.chosen) == 1
        assert await chosen(scene, replace(STEP, turn=TurnFacts())) == ("m2", "classified")  # the user speaks

    run(scenario())


@pytest.mark.parametrize(
    "other",
    [
        {"tenant": "evil"}, {"session": "s2"}, {"session": ""}, {"model": "auto:best"}, {"min_tier": "large"},
        {"models_allowed": ("up",)}, {"turn": TurnFacts(tool_depth=3, repeats=3)},
        {"turn": TurnFacts(tool_depth=3, tool_errors=3)}, {"turn": TurnFacts()},
    ],
)  # fmt: skip
def test_another_question_and_a_stall_are_the_routers(other):
    async def scenario():
        scene = Scene(Router())
        await chosen(scene, STEP)
        assert await chosen(scene, replace(STEP, **other)) == ("m2", "classified")

    run(scenario())


def test_a_choice_ends_with_time_with_the_catalog_and_with_a_failure():
    async def scenario():
        scene = Scene(Router())
        await chosen(scene, STEP)
        scene.version += 1
        assert await chosen(scene, STEP) == ("m2", "classified")
        scene.remembering.forget(QUERY)
        assert await chosen(scene, STEP) == ("m3", "classified")
        await scene.clock.sleep(30)
        assert await chosen(scene, STEP) == ("m4", "classified")

    run(scenario())


def test_sessions_whose_choice_is_remembered_are_bounded():
    async def scenario():
        scene = Scene(Router(), sessions_max=2)
        for name in ("a", "b", "c"):
            await chosen(scene, replace(STEP, session=name))
        assert await chosen(scene, replace(STEP, session="a")) == ("m4", "classified")
        assert await chosen(scene, replace(STEP, session="c")) == ("m3", "sticky")

    run(scenario())
