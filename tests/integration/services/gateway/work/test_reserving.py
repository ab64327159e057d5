"""Requests of jobs are looked at as if they were made now: what is wrong is said before anything is set aside."""

from __future__ import annotations

import msgspec
import pytest
from headrace.common.v1 import turns_pb2
from headrace.gateway.v1 import chat_pb2
from headrace.gateway.v1 import work_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run_real
from services.gateway.api.grpc_work import RESERVE
from services.gateway.domain.accounts.records import Limits
from tests.integration.services.gateway.work.world import KEY, PATH, body, gateways

replace = msgspec.structs.replace


def chat(max_tokens=6, **more):
    message = chat_pb2.ChatRequest(model="m", messages=[turns_pb2.Turn(role=turns_pb2.ROLE_USER, text="hello")], **more)
    message.sampling.max_tokens = max_tokens
    return pb.Work(chat=message, path=PATH)


WRONG = {
    "no JSON": (pb.Work(body=b"{", path=PATH), Reason.INVALID_REQUEST, "requests[1]"),
    "no request": (pb.Work(path=PATH), Reason.INVALID_REQUEST, "requests[1].body"),
    "another path": (pb.Work(body=b"{}", path="/v1/embeddings"), Reason.INVALID_REQUEST, "requests[1].path"),
    "a bad value": (body(6, temperature=9), Reason.INVALID_REQUEST, "requests[1].temperature"),
    "a bad message": (body(6, messages=[{"role": "x"}]), Reason.INVALID_REQUEST, "requests[1].messages[0]"),
    "an unknown model": (body(6, model="nonsense"), Reason.MODEL_NOT_FOUND, "requests[1].model"),
    "too long": (body(5000), Reason.CONTEXT_LENGTH_EXCEEDED, "requests[1].messages"),
    "too dear": (body(600, headrace={"max_cost": 0.000001}), Reason.MAX_COST_EXCEEDED, "requests[1].headrace.max_cost"),
    "a bad chat": (chat(6, user="x", tools=[turns_pb2.Tool()]), Reason.INVALID_REQUEST, "requests[1].tools[0].name"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_with_a_request_is_said_of_its_place(tmp_path, what):
    work, reason, param = WRONG[what]

    async def scenario():
        async with gateways(tmp_path) as (one, _):
            with pytest.raises(PlatformError) as refused:
                await one.reserve("job_1", body(6), work)
            assert (refused.value.reason, refused.value.started) == (reason, False)
            assert refused.value.param.startswith(param)
            # Nothing was set aside: the same name takes something else.
            assert (await one.reserve("job_1", body(6))).reserved_nanodollars > 0

    run_real(scenario())


@pytest.mark.parametrize("what", WRONG)
def test_in_a_batch_what_is_wrong_becomes_of_its_request_alone(tmp_path, what):
    work, reason, _ = WRONG[what]

    async def scenario():
        async with gateways(tmp_path) as (one, _):
            alone = await one.reserve("batch_1", body(6), batch=True)
            found = await one.reserve("batch_2", body(6), work, batch=True)
            assert (found.models, found.reserved_nanodollars) == (["m", ""], alone.reserved_nanodollars)
            said = await one.perform("batch_2", work, "batch_2/1")
            assert said.outcome.status_code == PlatformError(reason, "").http_status
            assert said.error["type"] == "invalid_request_error"
            assert (await one.perform("batch_2", body(6), "batch_2/0")).outcome.status_code == 200

    run_real(scenario())


def test_what_is_away_fails_a_batch_as_a_whole(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            one.money.keeper.lives.over()
            with pytest.raises(PlatformError) as away:
                await one.reserve("batch_1", body(6), batch=True)
            assert away.value.reason is Reason.STORE_UNAVAILABLE

    run_real(scenario())


def test_models_that_the_key_may_not_name_are_refused(tmp_path):
    async def scenario():
        async with gateways(tmp_path, key=replace(KEY, limits=Limits(models=("small",)))) as (one, _):
            with pytest.raises(PlatformError) as refused:
                await one.reserve("job_1", body(6))
            assert (refused.value.reason, refused.value.param) == (Reason.MODEL_NOT_ALLOWED, "requests[0].model")
            assert (await one.reserve("job_1", body(6, model="small"))).models == ["small"]

    run_real(scenario())


def test_a_stream_is_asked_for_in_vain_and_its_answer_is_whole(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            work = body(6, stream=True, stream_options={"include_usage": True})
            await one.reserve("job_1", work)
            said = await one.perform("job_1", work, "job_1/0")
            assert b'"object":"chat.completion"' in said.outcome.body

    run_real(scenario())


def test_both_forms_of_a_request_are_the_same_to_it(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            first, second = await one.reserve("job_1", body(6)), await one.reserve("job_2", chat(6))
            assert first == second
            texts = [
                (await one.perform(name, work, f"{name}/0")).text
                for name, work in (("job_1", body()), ("job_2", chat()))
            ]
            assert texts[0] == texts[1]

    run_real(scenario())


def test_for_auto_the_dearest_model_is_set_aside(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            auto = await one.reserve("job_2", body(6, text="x" * 1000, model="auto"))
            # Nobody knows yet who will tokenise it: its prompt is estimated.
            assert (auto.models, auto.reserved_nanodollars) == (["auto"], 1000 * (1000 // 2 + 8) + 2000 * 6)
            one.world.router.chosen = ["m"]
            assert (
                await one.perform("job_2", body(6, text="x" * 1000, model="auto"), "job_2/0")
            ).outcome.status_code == 200

    run_real(scenario())


def test_without_a_tokenizer_the_prompt_is_estimated(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, worker):

            async def fetch(*_):
                raise PlatformError(Reason.DRAINING, "not now", started=False)

            worker.fetch = fetch
            found = await one.reserve("job_1", body(6, text="x" * 1000))
            assert found.reserved_nanodollars == 1000 * (1000 // 2 + 8) + 2000 * 6

    run_real(scenario())


def test_only_the_jobs_service_may_ask(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            for identity in ("gateway", "", "router"):
                channel = InMemoryChannel(one.work.handlers(), identity=identity)
                with pytest.raises(PlatformError) as refused:
                    await channel.call(RESERVE, pb.ReserveRequest(), timeout=5.0)
                assert refused.value.reason is Reason.PERMISSION_DENIED

    run_real(scenario())
