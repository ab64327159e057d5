"""The RPCs over the composed router, through a channel."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from headrace.router.v1 import router_pb2 as router

from libs.errors import PlatformError, Reason
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.router.api import LIST_WORKERS, PLACE, REPORT, WATCH_MODELS
from services.router.api_choice import CHOOSE
from services.router.domain.outcomes import Outcomes
from tests.unit.services.router.fake_worker import FakeWorker
from tests.unit.services.router.test_following import router_over


@asynccontextmanager
async def client_of(**workers):
    async with router_over(**workers) as (made, net):
        channel = InMemoryChannel(made.api.handlers(), identity="gateway")
        yield channel, net
        await channel.close()
        await asyncio.sleep(0)


def ask(**fields):
    return router.PlaceRequest(tenant="t", **fields)


def test_place_tells_workers_reasons_and_the_binding():
    async def scenario():
        async with client_of(a=FakeWorker(), b=FakeWorker("w1")) as (channel, _):
            first = await channel.call(PLACE, ask(model="small", session="s"), timeout=1)
            again = await channel.call(PLACE, ask(model="m", session="s"), timeout=1)
            assert [each.reason for each in first.candidates] == ["rendezvous", "spare"]
            assert [each.reason for each in again.candidates] == ["bound", "spare"]
            best = again.candidates[0]
            assert (best.worker, best.boot_id, best.model_digest, best.load) == (
                first.candidates[0].worker,
                "b1",
                "d1",
                2,
            )
            assert best.address in {"a:1", "b:1"}
            assert (again.binding_version, again.binding_uncertain) == (1, False)
            other = await channel.call(PLACE, ask(model="m", session="s", exclude_workers=[best.worker]), timeout=1)
            assert [each.worker for each in other.candidates] == [first.candidates[1].worker]

    run(scenario())


@pytest.mark.parametrize("model", ["auto", "unknown"])
def test_auto_and_unknown_models_are_not_found(model):
    async def scenario():
        async with client_of(a=FakeWorker()) as (channel, _):
            with pytest.raises(PlatformError) as caught:
                await channel.call(CHOOSE, router.ChooseRequest(model=model), timeout=1)
            assert (caught.value.reason, caught.value.param) == (Reason.MODEL_NOT_FOUND, "model")
            assert "small" in caught.value.message

    run(scenario())


def test_a_named_model_is_obeyed():
    async def scenario():
        async with client_of(a=FakeWorker()) as (channel, _):
            answer = await channel.call(CHOOSE, router.ChooseRequest(model="small"), timeout=1)
            assert [(each.model, each.reason) for each in answer.choices] == [("small", "asked")]

    run(scenario())


def test_watchers_get_the_catalog_at_once_and_once_per_change():
    async def scenario():
        worker = FakeWorker("w1")
        async with client_of(a=FakeWorker(), b=worker) as (channel, net):
            stream = channel.stream(WATCH_MODELS, router.WatchModelsRequest(), timeout=100)
            first = await anext(stream)
            assert [(each.name, each.pool, list(each.addresses)) for each in first.models] == [
                ("m", False, ["a:1", "b:1"]),
                ("small", True, ["a:1", "b:1"]),
            ]
            assert first.models[0].description.model_digest == "d1"
            net.kill("b:1")
            assert list((await anext(stream)).models[0].addresses) == ["a:1"]
            net.kill("a:1")
            assert [list(each.addresses) for each in (await anext(stream)).models] == [[], []]
            worker.restart("b2")
            worker.digest = "d2"
            net.down.clear()
            while list((await anext(stream)).models[0].addresses) != ["a:1", "b:1"]:
                pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(5):
                    await anext(stream)
            stream.cancel()

    run(scenario())


def test_a_cancelled_watch_leaves_nothing_behind():
    async def scenario():
        async with router_over(a=FakeWorker()) as (made, _):
            channel = InMemoryChannel(made.api.handlers(), identity="gateway")
            stream = channel.stream(WATCH_MODELS, router.WatchModelsRequest(), timeout=100)
            await anext(stream)
            assert len(made.fleet._listeners) == 1
            stream.cancel()
            await asyncio.sleep(0.01)
            assert not made.fleet._listeners
            await channel.close()

    run(scenario())


def test_operators_see_every_worker_and_why_it_is_out():
    async def scenario():
        async with client_of(a=FakeWorker(), b=FakeWorker("w1")) as (channel, net):
            net.kill("b:1")
            await asyncio.sleep(0.01)
            await channel.call(PLACE, ask(model="m", session="s"), timeout=1)
            seen = (await channel.call(LIST_WORKERS, router.ListWorkersRequest(), timeout=1)).workers
            assert [(each.worker, each.state) for each in seen] == [("w0", "live"), ("w1", "unreachable")]
            assert (seen[0].in_flight, seen[0].model, list(seen[0].pools)) == (1, "m", ["small"])
            assert seen[0].last.sequence >= 1

    run(scenario())


def test_only_a_gateway_may_state_a_tenant():
    async def scenario():
        async with router_over(a=FakeWorker()) as (made, _):
            stranger = InMemoryChannel(made.api.handlers(), identity="inference")
            with pytest.raises(PlatformError) as caught:
                await stranger.call(PLACE, ask(model="small"), timeout=1)
            assert caught.value.reason is Reason.PERMISSION_DENIED
            await stranger.close()

    run(scenario())


def test_reports_reach_who_listens_and_come_from_gateways_alone():
    async def scenario():
        async with router_over(a=FakeWorker()) as (made, _):
            heard, refused = [], []
            made.outcomes.listen(heard.append)
            told = router.Outcomes(
                worker="w0", boot_id="b1", model="m", variant="new", attempts=5, failures=1, refusals=2,
                ttft_buckets=[0, 3], cached_tokens_predicted=64, cached_tokens_reported=32, predictions=2,
            )  # fmt: skip
            for identity in ("gateway", "jobs"):
                channel = InMemoryChannel(made.api.handlers(), identity=identity)
                try:
                    await channel.call(REPORT, router.ReportRequest(outcomes=[told]), timeout=1)
                except PlatformError as error:
                    refused.append(error.reason)
                await channel.close()
            await asyncio.sleep(0)
            return heard, refused

    heard, refused = run(scenario())
    assert heard == [Outcomes("w0", "b1", "m", "new", 5, 1, 2, (0, 3), 64, 32, 2)]
    assert refused == [Reason.PERMISSION_DENIED]
