"""Whole answers."""

from __future__ import annotations

import json

import pytest
from headrace.inference.v1.inference_pb2 import (
    CHANNEL_REASONING,
    FINISH_REASON_LENGTH,
    FINISH_REASON_TOOL_CALLS,
    GenerateResponse,
    TokenLogprob,
    TokenLogprobs,
    ToolCallDelta,
)

from libs.errors import PlatformError, Reason
from services.gateway.events import Delta, Ended
from services.gateway.wire.openai_chat_whole import ChatWhole

ENDED = Ended(10, 2, 4, 0, "w", "", "none", 1, 1.0, 2.0)


def whole(*deltas, **more):
    one = ChatWhole(**more)
    one.add([*(Delta(GenerateResponse(**delta)) for delta in deltas), ENDED])
    return json.loads(one.body("id", "m", 5, ("z",)))


def test_text_of_several_choices():
    found = whole({"text": "a"}, {"choice": 1, "text": "x", "finish": FINISH_REASON_LENGTH}, {"text": "b"}, n=2)
    assert [(c["index"], c["message"]["content"], c["finish_reason"]) for c in found["choices"]] == [
        (0, "ab", "stop"),
        (1, "x", "length"),
    ]
    assert found["choices"][0]["message"]["refusal"] is None
    assert found["choices"][0]["logprobs"] is None
    assert found["usage"]["prompt_tokens_details"] == {"cached_tokens": 4}
    assert found["headrace"]["ignored_fields"] == ["z"]
    assert found["headrace"]["session"] is None


def test_tool_calls_are_put_together():
    found = whole(
        {"tool_calls": [ToolCallDelta(index=1, id="d", name="g", arguments="{}")]},
        {"tool_calls": [ToolCallDelta(index=0, id="c", name="f", arguments='{"x":')]},
        {"tool_calls": [ToolCallDelta(index=0, arguments="1}")], "finish": FINISH_REASON_TOOL_CALLS},
    )
    (choice,) = found["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in choice["message"]["tool_calls"]] == [
        ("c", "f", '{"x":1}'),
        ("d", "g", "{}"),
    ]


def test_reasoning_and_logprobs():
    position = TokenLogprobs(top=[TokenLogprob(token_id=1, token=b"a", logprob=-1.0)])
    found = whole({"text": "hm", "channel": CHANNEL_REASONING}, {"text": "a", "logprobs": [position]}, logprobs=1)
    (choice,) = found["choices"]
    assert choice["message"]["reasoning_content"] == "hm"
    assert choice["message"]["content"] == "a"
    assert choice["logprobs"]["content"] == [
        {
            "token": "a",
            "logprob": -1.0,
            "bytes": [97],
            "top_logprobs": [{"token": "a", "logprob": -1.0, "bytes": [97]}],
        }
    ]


def test_an_answer_without_its_end_is_no_answer():
    with pytest.raises(PlatformError) as caught:
        ChatWhole().body("id", "m", 5, ())
    assert caught.value.reason is Reason.STREAM_INTERRUPTED
