"""Chunks of a streamed answer."""

from __future__ import annotations

import json

from headrace.inference.v1.inference_pb2 import (
    CHANNEL_REASONING,
    FINISH_REASON_LENGTH,
    FINISH_REASON_STOP,
    FINISH_REASON_TOOL_CALLS,
    GenerateResponse,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
)
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.events import Delta, Ended
from services.gateway.wire.openai_chat_stream import DONE, ChatStream

ENDED = Ended(10, 2, 4, 1, "w", "s", "body", 2, 1.0, 2.0, resumed=True)


def stream(**more):
    return ChatStream("id", "m", 5, **more)


def chunks(rendered: bytes):
    lines = rendered.decode().removesuffix("\n\n").split("\n\n") if rendered else []
    return [json.loads(line.removeprefix("data: ")) for line in lines if line != "data: [DONE]"]


def render(*deltas, **more):
    return chunks(stream(**more).render([Delta(GenerateResponse(**delta)) for delta in deltas]))


def deltas_of(found):
    return [(c["choices"][0]["index"], c["choices"][0]["delta"], c["choices"][0]["finish_reason"]) for c in found]


def test_each_choice_begins_with_its_role():
    found = render({"choice": 1, "text": "b"}, {"choice": 0, "text": "a"}, {"choice": 1, "text": "c"})
    assert deltas_of(found) == [
        (1, {"role": "assistant", "content": "b"}, None),
        (0, {"role": "assistant", "content": "a"}, None),
        (1, {"content": "c"}, None),
    ]


def test_the_finish_chunk_stands_alone_even_when_it_came_with_text():
    found = render({"text": "a", "finish": FINISH_REASON_LENGTH})
    assert deltas_of(found) == [(0, {"role": "assistant", "content": "a"}, None), (0, {}, "length")]


def test_an_empty_answer_still_has_a_role():
    assert deltas_of(render({"finish": FINISH_REASON_STOP})) == [
        (0, {"role": "assistant", "content": ""}, None),
        (0, {}, "stop"),
    ]


def test_a_delta_without_anything_to_show_is_no_chunk():
    assert stream().render([Delta(GenerateResponse(token_ids=[1]))]) == b""
    assert len(render({"text": "a"}, {"token_ids": [2]})) == 1


def test_tool_calls_name_themselves_in_their_first_piece():
    found = render(
        {"tool_calls": [ToolCallDelta(index=0, id="c", name="f", arguments="")]},
        {"tool_calls": [ToolCallDelta(index=0, arguments='{"x')]},
        {"finish": FINISH_REASON_TOOL_CALLS},
    )
    first = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": ""}}
    assert deltas_of(found) == [
        (0, {"role": "assistant", "content": None, "tool_calls": [first]}, None),
        (0, {"tool_calls": [{"index": 0, "function": {"arguments": '{"x'}}]}, None),
        (0, {}, "tool_calls"),
    ]


def test_reasoning_has_its_own_field():
    found = render({"text": "hm", "channel": CHANNEL_REASONING}, {"text": "ok"})
    assert [d for _, d, _ in deltas_of(found)] == [
        {"role": "assistant", "content": "", "reasoning_content": "hm"},
        {"content": "ok"},
    ]


def test_logprobs_of_the_best_candidates():
    top = [
        TokenLogprob(token_id=1, token=b"\xc3", logprob=-2.0),
        TokenLogprob(token_id=2, token=b"b", logprob=-1.0),
        TokenLogprob(token_id=1, token=b"\xc3", logprob=-2.0),
        TokenLogprob(token_id=3, token=b"c", logprob=float("-inf")),
    ]
    (found,) = render({"text": "x", "logprobs": [TokenLogprobs(index=0, top=top)]}, top_logprobs=2)
    (position,) = found["choices"][0]["logprobs"]["content"]
    assert position["token"] == "\ufffd"
    assert (position["logprob"], position["bytes"]) == (-2.0, [0xC3])
    assert [c["token"] for c in position["top_logprobs"]] == ["b", "\ufffd"]


def test_logprobs_of_a_token_whose_text_is_still_held_back_are_not_lost():
    held = {"logprobs": [TokenLogprobs(index=1, top=[TokenLogprob(token_id=1, token=b"x", logprob=-1)])]}
    found = render({"text": "a"}, held)
    assert found[1]["choices"][0]["delta"] == {"content": ""}
    assert found[1]["choices"][0]["logprobs"]["content"][0]["top_logprobs"] == []


def test_usage_is_null_until_the_chunk_that_has_it():
    one = stream(include_usage=True, ignored_fields=("z", "a"))
    rendered = one.render([Delta(GenerateResponse(text="x", finish=FINISH_REASON_STOP)), ENDED])
    assert rendered.endswith(DONE)
    *before, last = chunks(rendered)
    assert all(c["usage"] is None for c in before)
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 2,
        "total_tokens": 12,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    assert last["headrace"]["attempts"] == 2
    assert last["headrace"]["resumed"]
    assert last["headrace"]["ignored_fields"] == ["a", "z"]


def test_without_usage_only_done_follows():
    assert stream().render([ENDED]) == DONE


@given(st.lists(st.text(alphabet=st.characters(exclude_categories=["Cs"]))))
def test_any_text_survives_and_cannot_break_the_framing(texts):
    one = stream()
    rendered = b"".join(one.render([Delta(GenerateResponse(text=text))]) for text in texts)
    assert "".join(c["choices"][0]["delta"].get("content", "") for c in chunks(rendered)) == "".join(texts)
    assert all(line.startswith(b"data: {") or not line for line in rendered.split(b"\n"))
