"""Models that the router chooses: what it is told, who may use what, and where a call goes when one does not do."""

from __future__ import annotations

import pytest
from headrace.router.v1 import router_pb2 as rpb

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.turns import (
    Constraints,
    Principal,
    Role,
    Sampling,
    SessionClaim,
    Tool,
    ToolCall,
    Turn,
)
from services.gateway.usecases.waiting import WaitLimits
from tests.unit.services.gateway.usecases.world import ALICE, MALLORY, Worker, World, ask, whole

DEAD, NO_ROOM = ("die", 0), ("refuse", Reason.OVERLOADED)


def choice(model, reason="classified", tier="large", **more):
    return rpb.ModelChoice(model=model, reason=reason, tier=tier, **more)


def tiers(world, *choices):
    """Two models with workers of their own: `m` on a, `small` on b; what Choose answers to anything."""
    workers = world.workers
    world.router.of_model = {"m": [workers["a"]], "small": [workers["b"]]}
    world.router.chosen = list(choices) or [choice("m"), choice("small", "fallback-down", "small")]
    return world


def two(tmp_path, *, first=(), second=(), **options):
    return World([Worker("a", first), Worker("b", second)], tmp_path, **options)


def restricted(*models):
    return Principal("acme", "key-1", models=frozenset(models))


def test_the_router_is_told_what_a_turn_is_and_not_more(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            turns = (Turn(Role.SYSTEM, "be brief"), Turn(Role.USER, "why is the sky blue?"))
            claim = SessionClaim(explicit="s1", source="x-session-id")
            tools = (Tool("f", "d", "{}"),)
            await world.answer(ask(model="auto", turns=turns, session=claim, tools=tools, user="ann"))
            (asked,) = world.router.asked
            assert (asked.model, asked.tenant, asked.session, asked.affinity_key) == ("auto", "acme", "s1", "")
            assert (asked.turn.text, asked.turn.text_characters) == ("why is the sky blue?", 20)
            assert (asked.turn.system_characters, asked.turn.user_turns, asked.turn.tools) == (8, 1, 1)
            assert asked.turn.context_characters == 28 + len("fd{}")
            assert (list(asked.models_allowed), asked.min_tier) == ([], "")
            await world.answer(ask(model="auto"))
            assert world.router.asked[-1].affinity_key

    run(scenario())


def test_a_session_of_somebody_else_is_not_shown_to_the_router(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            claim = SessionClaim(explicit="s1", source="x-session-id")
            await world.answer(ask(model="auto", session=claim))
            _, error = await world.failure(ask(model="auto", session=claim), MALLORY)
            assert error.reason is Reason.SESSION_NOT_FOUND
            assert len(world.router.asked) == 1

    run(scenario())


@pytest.mark.parametrize("name", ["auto", "auto:cheap", "auto:best"])
def test_a_reply_says_which_model_answered_and_why(tmp_path, name):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            world.router.decision = rpb.Decision(tier="large", small_probability=0.183, why="maths")
            events = await world.answer(ask(model=name))
            words = "model=m; tier=large; reason=classified; p-small=0.18; worker=a; placed=rendezvous"
            assert (events[0].route, events[-1].route) == (words, words)
            route = world.record.route
            assert (route.asked, route.choice.model, route.decision.why, route.fallbacks) == (name, "m", "maths", 0)
            assert [one.worker for one in route.candidates] == ["a"]

    run(scenario())


def test_a_named_model_is_obeyed_and_asks_nobody(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            world.router.of_model["m"] = []
            _, error = await world.failure(ask(model="m"))
            assert error.reason is Reason.NO_WORKER
            assert world.router.asked == []
            events = await world.answer(ask(model="small"))
            assert events[0].route == "model=small; reason=named; worker=b; placed=rendezvous"

    run(scenario())


def test_a_restricted_key_uses_auto_within_its_models(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            # The router that does not keep to what it was told is not taken at its word.
            events = await world.answer(ask(model="auto"), restricted("small", "auto", "other"))
            assert events[0].model == "small"
            assert list(world.router.asked[-1].models_allowed) == ["other", "small"]
            assert [(one.model, one.why) for one in world.record.route.passed_over] == [("m", "not-allowed")]
            for models in ((), ("auto",), ("other",)):
                sent, error = await world.failure(ask(model="auto"), restricted(*models))
                assert (error.reason, error.http_status, sent) == (Reason.MODEL_NOT_ALLOWED, 403, [])
            assert world.workers["a"].requests == []

    run(scenario())


def test_a_variant_is_used_and_sold_as_its_pool(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world, choice("m", variant="b", pool="small"))
            world.router.routed = ("small",)
            world.router.changed.set()
            await world.clock.sleep(0.1)
            seen = []
            find = world.charges.prices.find
            world.charges.prices.find = lambda *names: seen.append(names) or find(*names)
            for name in ("small", "auto"):
                events = await world.answer(ask(model=name), restricted("small"))
                assert (events[0].model, events[0].worker) == ("m", "a")
                assert "variant=b" in events[0].route
            assert seen == [("small", "m", "m")] * 2

    run(scenario())


def test_a_pool_of_variants_is_used_as_it_is_while_the_router_cannot_choose(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            world.router.routed = ("small",)
            world.router.changed.set()
            await world.clock.sleep(0.1)
            world.router.chosen = []
            events = await world.answer(ask(model="small"))
            assert (events[0].model, events[0].worker) == ("small", "b")

    run(scenario())


@pytest.mark.parametrize(
    ("first", "tried"),
    [
        ([("refuse", Reason.NO_WORKER)], True),
        ([("die", 0)], True),
        ([("refuse", Reason.DRAINING)], True),
    ],
)
def test_a_model_that_nobody_can_run_gives_way_to_the_next(tmp_path, first, tried):
    async def scenario():
        async with two(tmp_path, first=first) as world:
            tiers(world)
            events = await world.answer(ask(model="auto"))
            assert whole(events)
            assert (events[0].model, events[0].worker) == ("small", "b")
            assert "reason=fallback-down" in events[0].route
            assert events[0].route.endswith("; fallbacks=1")
            (passed,) = world.record.route.passed_over
            assert (passed.model, passed.tried) == ("m", tried)
            # Held twice, given back once, charged once.
            assert [end.end.name for end in world.ledger.settled] == ["REFUNDED", "SETTLED"]
            assert world.record.variants == 2

    run(scenario())


def test_a_call_that_is_itself_at_fault_is_not_taken_elsewhere(tmp_path):
    async def scenario():
        async with two(tmp_path, first=[("refuse", Reason.INVALID_REQUEST)]) as world:
            tiers(world)
            _, error = await world.failure(ask(model="auto"))
            assert error.reason is Reason.INVALID_REQUEST
            assert world.workers["b"].requests == []

    run(scenario())


def test_what_killed_two_workers_is_shown_to_no_third_under_any_name(tmp_path):
    async def scenario():
        async with World([Worker("a", [DEAD]), Worker("b"), Worker("c", [DEAD])], tmp_path) as world:
            tiers(world)
            world.router.of_model["m"] = [world.workers["a"], world.workers["c"]]
            sent, error = await world.failure(ask(model="auto"))
            assert (error.reason, sent) == (Reason.WORKER_LOST, [])
            assert world.workers["b"].requests == []

    run(scenario())


def test_a_part_that_was_sent_is_finished_by_no_other_model(tmp_path):
    async def scenario():
        async with two(tmp_path, first=[("die", 2)]) as world:
            tiers(world)
            sent, error = await world.failure(ask(model="auto"))
            assert sent
            assert error.reason is Reason.STREAM_INTERRUPTED
            assert world.workers["b"].requests == []

    run(scenario())


def test_a_failure_after_work_began_takes_another_model_only_with_budget(tmp_path):
    async def scenario():
        async with two(tmp_path, first=[("fail", 0)] * 9) as world:
            tiers(world)
            budget = world.pipeline._services.means.budget
            while budget.take():
                pass
            _, error = await world.failure(ask(model="auto"))
            assert error.reason is Reason.INTERNAL
            assert world.workers["b"].requests == []

    run(scenario())


def test_a_full_pool_is_left_at_once_for_another_of_its_tier_but_waited_for_before_another_tier(tmp_path):
    async def scenario():
        limits = WaitLimits(wait_seconds_max=5.0)
        async with two(tmp_path, first=[NO_ROOM] * 50, waiting=limits) as world:
            tiers(world, choice("m"), choice("small", "fallback-same-tier"))
            began = world.clock.monotonic()
            events = await world.answer(ask(model="auto"))
            assert (events[0].worker, world.clock.monotonic() - began) == ("b", pytest.approx(0.0, abs=0.1))
        async with two(tmp_path, first=[NO_ROOM] * 50, waiting=limits) as world:
            tiers(world)
            began = world.clock.monotonic()
            events = await world.answer(ask(model="auto"))
            assert events[0].worker == "b"
            assert 1.0 < world.clock.monotonic() - began <= 6.0

    run(scenario())


@pytest.mark.parametrize(("first", "answered_by"), [([NO_ROOM] * 50, None), ([("refuse", Reason.NO_WORKER)] * 3, "b")])
def test_a_variant_stands_in_for_one_that_is_away_and_for_none_that_is_full(tmp_path, first, answered_by):
    async def scenario():
        async with two(tmp_path, first=first, waiting=WaitLimits(wait_seconds_max=2.0)) as world:
            tiers(
                world,
                choice("m", "variant", variant="stable", pool="chat"),
                choice("small", "fallback-same-tier", variant="canary", pool="chat"),
            )
            if answered_by:
                assert (await world.answer(ask(model="auto")))[0].worker == answered_by
                return
            _, error = await world.failure(ask(model="auto"))
            assert error.reason is Reason.OVERLOADED
            assert world.workers["b"].requests == []

    run(scenario())


def test_a_model_that_cannot_take_the_call_is_passed_over_before_anything_is_held(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world, choice("gone"), choice("m"), choice("small", "fallback-down", "small"))
            dear = world.charges.prices.find
            world.charges.prices.find = lambda *names: None if names[0] == "m" else dear(*names)
            events = await world.answer(ask(model="auto"))
            assert events[0].model == "small"
            assert [(one.model, one.why, one.tried) for one in world.record.route.passed_over] == [
                ("gone", "not-served", False),
                ("m", Reason.PRICE_UNKNOWN, False),
            ]
            assert events[0].route.count("fallbacks") == 0

    run(scenario())


def test_no_error_is_its_own_cause(tmp_path):
    """Whoever follows an error's causes to their end would never get there."""

    async def scenario():
        async with two(tmp_path, first=[("refuse", Reason.NO_WORKER)], second=[("refuse", Reason.NO_WORKER)]) as world:
            tiers(world)
            _, nobody = await world.failure(ask(model="auto"))
            _, dear = await world.failure(spend(1))
            for told in (nobody, dear):
                error, seen = told, set()
                while error is not None:
                    assert id(error) not in seen
                    seen.add(id(error))
                    error = error.__cause__ or error.__context__

    run(scenario())


def spend(nanodollars, **more):
    return ask(model="auto", constraints=Constraints(max_cost=nanodollars), **more)


def test_a_call_costs_no_more_than_its_caller_allows(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            dear = world.charges.prices.find
            thousand = lambda price: type(price)(  # noqa: E731 - a price, a thousand times as high
                model=price.model,
                input_nanodollars=price.input_nanodollars * 1000,
                cached_nanodollars=price.cached_nanodollars * 1000,
                output_nanodollars=price.output_nanodollars * 1000,
            )
            world.charges.prices.find = lambda *names: thousand(dear(*names)) if names[0] == "m" else dear(*names)
            events = await world.answer(spend(100_000))
            assert events[0].model == "small"
            assert world.record.cost <= 100_000
            assert world.record.route.passed_over[0].why == Reason.MAX_COST_EXCEEDED
            sent, error = await world.failure(spend(5_000))
            assert (error.reason, error.http_status, error.param, sent) == (
                Reason.MAX_COST_EXCEEDED, 400, "headrace.max_cost", []
            )  # fmt: skip
            assert "x-should-retry" in error.headers
            _, named = await world.failure(ask(model="m", constraints=Constraints(max_cost=100_000)))
            assert named.reason is Reason.MAX_COST_EXCEEDED
            assert world.workers["a"].requests == []

    run(scenario())


def test_an_answer_without_a_bound_ends_where_the_money_does(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            # 11 prompt tokens at 1,000 and 520 of the answer at 2,000 nano-dollars.
            most = 11_000 + 520 * 2_000
            await world.answer(spend(most, sampling=Sampling()))
            assert world.record.completion_tokens == 520
            assert world.record.cost <= most
            ((request, _),) = world.workers["a"].requests
            assert request.sampling.max_tokens == 520

    run(scenario())


def test_nothing_below_the_least_tier_answers(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world, choice("small", "classified", "small"), choice("m", "fallback-up", "large"))
            request = ask(model="auto", constraints=Constraints(min_tier="large"))
            events = await world.answer(request)
            assert (events[0].model, world.router.asked[-1].min_tier) == ("m", "large")
            world.router.chosen = [choice("small", "classified", "small")]
            _, error = await world.failure(request)
            assert (error.param, world.workers["b"].requests) == ("headrace.min_tier", [])
            _, named = await world.failure(ask(model="m", constraints=Constraints(min_tier="large")))
            assert (named.reason, named.param) == (Reason.UNSUPPORTED_PARAMETER, "headrace.min_tier")

    run(scenario())


def test_steps_of_a_tool_loop_ask_once(tmp_path):
    async def scenario():
        async with two(tmp_path) as world:
            tiers(world)
            claim = SessionClaim(explicit="s1", source="x-session-id")
            turns = [Turn(Role.USER, "go")]
            await world.answer(ask(model="auto", turns=tuple(turns), session=claim), ALICE)
            for step in range(3):
                call = ToolCall(f"c{step}", "look", f'{{"at": {step}}}')
                turns += [Turn(Role.ASSISTANT, "", tool_calls=(call,)), Turn(Role.TOOL, "seen", tool_call_id=call.id)]
                events = await world.answer(ask(model="auto", turns=tuple(turns), session=claim), ALICE)
                assert "reason=sticky" in events[0].route
            assert len(world.router.asked) == 1

    run(scenario())
