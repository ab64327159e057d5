"""Choose, and the operators' RPCs, over the composed router and a channel."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from headrace.router.v1 import router_pb2 as router

from libs.errors import PlatformError, Reason
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.router.api import WATCH_MODELS
from services.router.api_choice import CHOOSE, LIST_VARIANTS, SET_VARIANTS
from services.router.domain.outcomes import Outcomes
from tests.unit.services.router.fake_worker import FakeWorker
from tests.unit.services.router.test_following import router_over

TIERS = {"small": [{"pool": "tiny"}], "large": [{"pool": "big"}]}
VARIANTS = {"chat": [{"name": "stable", "model": "tiny", "weight": 3}, {"name": "canary", "model": "big"}]}


@asynccontextmanager
async def opened(identity="gateway", **settings):
    workers = {"a": FakeWorker(model="tiny", pools=()), "b": FakeWorker("w1", model="big", pools=())}
    async with router_over(settings={"tiers": TIERS} | settings, **workers) as (made, net):
        channel = InMemoryChannel(made.api.handlers(), identity=identity)
        yield channel, made, net
        await channel.close()
        await asyncio.sleep(0)


async def choose(channel, text, **fields):
    turn = router.Turn(text=text, user_turns=1, context_characters=8000, **fields.pop("turn", {}))
    request = router.ChooseRequest(tenant="t", **({"model": "auto"} | fields), turn=turn)
    return await channel.call(CHOOSE, request, timeout=1)


def told(answer):
    return [(each.model, each.reason, each.tier, each.pool) for each in answer.choices]


def test_choose_tells_models_tiers_reasons_and_the_decision():
    async def scenario():
        async with opened() as (channel, _, _):
            answer = await choose(channel, "0.8")
            assert told(answer) == [("big", "classified", "large", "big"), ("tiny", "fallback-down", "small", "tiny")]
            said = answer.decision
            assert (said.tier, said.unsure, said.previous_tier) == ("large", False, "")
            assert said.small_probability == pytest.approx(0.2)
            assert [(each.name, each.weight) for each in said.features] == [("digits", pytest.approx(0.3))]
            unsure = (await choose(channel, "hm")).decision
            assert (unsure.unsure, unsure.HasField("small_probability")) == (True, False)

    run(scenario())


def test_a_session_is_remembered_over_calls_and_a_switch_is_priced():
    async def scenario():
        tiers = {"small": [{"pool": "tiny"}], "large": [{"pool": "big", "input_usd_per_million": "0.5"}]}
        async with opened(tiers=tiers) as (channel, _, _):
            await choose(channel, "0.1", session="s")
            answer = await choose(channel, "0.8", session="s", turn={"tools": 1})
            assert (answer.decision.previous_tier, answer.decision.switch_cost_nanodollars) == ("small", 1_000_000)
            loop = await choose(channel, "0.8", session="s", turn={"tool_depth": 1})
            assert told(loop)[0][1:3] == ("sticky", "large")
            assert not loop.decision.HasField("small_probability")

    run(scenario())


def test_watchers_see_the_auto_names_and_split_pools_as_routed():
    async def scenario():
        async with opened(variants=VARIANTS) as (channel, _, net):
            stream = channel.stream(WATCH_MODELS, router.WatchModelsRequest(), timeout=100)
            first = {model.name: model for model in (await anext(stream)).models}
            assert {name for name, model in first.items() if model.routed} == {
                "auto",
                "auto:cheap",
                "auto:best",
                "chat",
            }
            assert (first["auto"].description.model, list(first["auto"].addresses)) == ("tiny", ["a:1"])
            assert (first["chat"].pool, first["chat"].description.model) == (True, "tiny")
            net.kill("a:1")
            after = {model.name: model for model in (await anext(stream)).models}
            assert (after["auto"].description.model, list(after["auto"].addresses)) == ("big", ["b:1"])
            stream.cancel()

    run(scenario())


def test_without_tiers_there_is_no_auto_in_the_catalog():
    async def scenario():
        async with opened(tiers={}) as (channel, _, _):
            stream = channel.stream(WATCH_MODELS, router.WatchModelsRequest(), timeout=100)
            assert [model.name for model in (await anext(stream)).models] == ["big", "tiny"]
            stream.cancel()

    run(scenario())


def test_operators_see_variants_and_change_their_weights():
    async def scenario():
        async with opened("cli", variants=VARIANTS) as (channel, made, _):
            made.variants.take(Outcomes("w1", "b1", "chat", "canary", 10, 1, 0, (0,) * 7 + (9,)))
            (pool,) = (await channel.call(LIST_VARIANTS, router.ListVariantsRequest(), timeout=1)).pools
            assert (pool.pool, pool.version) == ("chat", 0)
            assert [(each.name, each.model, each.weight) for each in pool.variants] == [
                ("stable", "tiny", 3),
                ("canary", "big", 1),
            ]
            canary = pool.variants[1]
            assert (canary.attempts, canary.failures) == (10, 1)
            assert 64 <= canary.ttft_ms_p50 <= canary.ttft_ms_p95 <= 128
            request = router.SetVariantsRequest(pool="chat", weights={"canary": 5})
            changed = (await channel.call(SET_VARIANTS, request, timeout=1)).pool
            assert ([each.weight for each in changed.variants], changed.version) == ([3, 5], 1)

    run(scenario())


def test_watchers_hear_of_new_weights_so_that_gateways_ask_again():
    async def scenario():
        async with opened(variants=VARIANTS) as (channel, made, _):
            stream = channel.stream(WATCH_MODELS, router.WatchModelsRequest(), timeout=100)
            first = await anext(stream)
            await made.variants.set_weights("chat", {"canary": 5})
            assert await anext(stream) == first
            stream.cancel()
            await asyncio.sleep(0.01)
            assert not made.variants._listeners

    run(scenario())


@pytest.mark.parametrize("identity", ["gateway", "inference"])
def test_services_change_no_weights(identity):
    async def scenario():
        async with opened(identity, variants=VARIANTS) as (channel, _, _):
            with pytest.raises(PlatformError) as caught:
                await channel.call(
                    SET_VARIANTS, router.SetVariantsRequest(pool="chat", weights={"canary": 5}), timeout=1
                )
            assert caught.value.reason is Reason.PERMISSION_DENIED

    run(scenario())


def test_only_a_gateway_may_state_a_tenant():
    async def scenario():
        async with opened("cli") as (channel, _, _):
            with pytest.raises(PlatformError) as caught:
                await choose(channel, "0.1")
            assert caught.value.reason is Reason.PERMISSION_DENIED

    run(scenario())
