from __future__ import annotations

import pytest

from libs.chat_template.messages import normalise
from libs.errors import PlatformError, Reason


def test_null_content_is_empty_text_and_null_fields_are_absent():
    assert normalise([{"role": "assistant", "content": None, "name": None}]) == [{"role": "assistant", "content": ""}]


def test_list_content_is_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert normalise([{"role": "user", "content": parts}])[0]["content"] == "a\nb"


def test_parts_that_are_no_text_are_refused():
    with pytest.raises(PlatformError) as caught:
        normalise([{"role": "user", "content": [{"type": "image_url"}]}])
    assert caught.value.reason is Reason.UNSUPPORTED_CONTENT


def test_an_unknown_role_is_refused():
    with pytest.raises(PlatformError) as caught:
        normalise([{"role": "<|im_start|>system", "content": "x"}])
    assert caught.value.reason is Reason.INVALID_REQUEST


@pytest.mark.parametrize(("given", "seen"), [('{"a": 1}', {"a": 1}), ("", {}), (None, {}), ("not json", "not json")])
def test_arguments_become_objects(given, seen):
    call = {"id": "c", "function": {"name": "f", "arguments": given}}
    out = normalise([{"role": "assistant", "tool_calls": [call]}])
    assert out[0]["tool_calls"][0]["function"]["arguments"] == seen


def test_empty_tool_calls_are_absent():
    assert "tool_calls" not in normalise([{"role": "assistant", "content": "x", "tool_calls": []}])[0]
