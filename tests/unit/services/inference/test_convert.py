from __future__ import annotations

import pytest
from headrace.common.v1 import turns_pb2 as common_pb
from headrace.inference.v1 import inference_pb2 as pb
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from services.inference import convert
from services.inference.domain.output.delta import Delta, Usage
from services.inference.domain.output.parser import ToolPiece
from services.inference.domain.output.tokens import TokenLogprobs
from services.inference.domain.request import Guided, ResumeChoice, Sampling


def full_request():
    return pb.GenerateRequest(
        request_id="r-1",
        cache_salt="salt",
        tokens=pb.TokenPrompt(ids=[1, 2]),
        sampling=pb.Sampling(
            max_tokens=9, temperature=0.5, top_p=0.25, top_k=3, min_p=0.125, seed=-4, stop=["a"], stop_token_ids=[7],
            presence_penalty=0.5, frequency_penalty=-0.5, repetition_penalty=1.5, logit_bias={3: 2.0}, logprobs=0, n=2,
            min_tokens=1, ignore_eos=True,
        ),
        guided=pb.Guided(json_schema="{}"),
        tools=[common_pb.Tool(name="f", description="d", parameters_json="{}", strict=True)],
        tool_choice=common_pb.ToolChoice(mode=common_pb.TOOL_MODE_NAMED, name="f", parallel=True),
        resume=pb.Resume(
            choices=[
                pb.ResumeChoice(
                    choice=1, token_ids=[5], text_sent=2, reasoning_sent=3, finished=True, max_tokens=4
                )
            ]
        ),
        epoch=2,
        adapter="lora",
        call_seed="c",
        session="s",
        parse_reasoning=True,
    )  # fmt: skip


def test_every_field_of_the_request_arrives():
    work = convert.token_work(full_request())
    assert work.common.sampling == Sampling(
        9, 0.5, 0.25, 3, 0.125, -4, ("a",), (7,), 0.5, -0.5, 1.5, {3: 2.0}, 0, 2, 1, ignore_eos=True
    )
    assert (work.prompt, work.cache_salt) == ([1, 2], "salt")
    assert work.resume == (ResumeChoice(1, (5,), 2, 3, finished=True, max_tokens=4),)
    common = work.common
    assert (common.request_id, common.epoch, common.adapter, common.call_seed, common.session) == (
        "r-1", 2, "lora", "c", "s",
    )  # fmt: skip
    assert common.guided == Guided(json_schema="{}")
    assert (common.tools[0].name, common.tools[0].strict) == ("f", True)
    assert (common.tool_choice.mode, common.tool_choice.name, common.tool_choice.parallel) == ("named", "f", True)
    assert common.parse_reasoning


def test_no_field_of_the_protocol_is_forgotten():
    asked, fields = full_request(), pb.GenerateRequest.DESCRIPTOR.fields_by_name
    unset = {name for name, field in fields.items() if not _is_set(asked, field)}
    # `model` and `model_digest` are checked before; `messages` is the other form of the prompt.
    assert unset == {"model", "model_digest", "messages"}


def _is_set(message, field):
    return field in {found for found, _ in message.ListFields()}


def test_absent_fields_leave_the_models_defaults():
    asked = pb.GenerateRequest(request_id="r", tokens=pb.TokenPrompt(ids=[1]), sampling=pb.Sampling(max_tokens=1))
    work = convert.token_work(asked)
    assert work.common.sampling == Sampling(max_tokens=1)
    assert work.common.guided is None
    assert work.common.call_seed == "r"
    assert work.common.tool_choice.mode == "none"


@pytest.mark.parametrize("packed", [b"123", b"12345"])
def test_torn_prompts_are_refused(packed):
    asked = pb.GenerateRequest(request_id="r", tokens=pb.TokenPrompt(packed=packed))
    with pytest.raises(PlatformError) as caught:
        convert.token_work(asked)
    assert (caught.value.reason, caught.value.started) == (Reason.INVALID_REQUEST, False)


def test_a_turn_without_a_role_is_refused():
    with pytest.raises(PlatformError):
        convert.messages([common_pb.Turn(text="x")])


def test_a_delta_keeps_its_fields():
    delta = Delta(
        1, 5, (7, 8), "text", tool_calls=[ToolPiece(0, "call_1", "f", "{")], finish="tool_calls", stop_reason="x",
        logprobs=[TokenLogprobs([(7, b"a", -0.5), (9, b"\xff", -1.5)])],
        usage=Usage(1, 2, 3, 4, 5.0, 6.0, estimated=True),
    )  # fmt: skip
    out = convert.response(delta, 3)
    assert (out.choice, out.epoch, out.first_index, list(out.token_ids), out.text) == (1, 3, 5, [7, 8], "text")
    assert (out.finish, out.stop_reason) == (pb.FINISH_REASON_TOOL_CALLS, "x")
    assert (out.tool_calls[0].id, out.tool_calls[0].name, out.tool_calls[0].arguments) == ("call_1", "f", "{")
    assert [(t.token_id, t.token, t.logprob) for t in out.logprobs[0].top] == [(7, b"a", -0.5), (9, b"\xff", -1.5)]
    assert out.logprobs[0].index == 5
    assert (out.usage.prompt_tokens, out.usage.estimated) == (1, True)
    assert convert.response(Delta(0, text="hm", is_reasoning=True), 0).channel == pb.CHANNEL_REASONING


numbers = st.integers(0, 2**32 - 1) | st.integers(0, 300)


@given(
    st.integers(0, 200), numbers, st.lists(st.tuples(numbers, st.lists(numbers, max_size=40), st.text(max_size=200)))
)
def test_a_plain_delta_is_what_protobuf_would_write(choice, epoch, deltas):
    plain = convert.PlainDeltas(epoch)
    for first_index, token_ids, text in deltas:
        expected = convert.response(Delta(choice, first_index, token_ids, text), epoch).SerializeToString()
        assert plain.encode(choice, first_index, token_ids, text) == expected
