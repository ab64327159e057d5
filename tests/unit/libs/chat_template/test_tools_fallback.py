from __future__ import annotations

from libs.chat_template.tools_fallback import with_tools_as_text

TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
CALL = {"function": {"name": "add", "arguments": {"a": 1}}}


def test_tools_are_stated_in_the_first_system_message():
    out = with_tools_as_text([{"role": "system", "content": "be brief"}, {"role": "user", "content": "x"}], TOOLS)
    assert out[0]["content"].startswith("be brief\n\n")
    assert '<tools>\n{"type": "function"' in out[0]["content"]
    assert out[1] == {"role": "user", "content": "x"}


def test_a_system_message_is_made_when_there_is_none():
    assert [m["role"] for m in with_tools_as_text([{"role": "user", "content": "x"}], TOOLS)] == ["system", "user"]


def test_calls_and_results_become_text_and_neighbouring_results_share_a_message():
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": "", "tool_calls": [CALL, CALL]},
        {"role": "tool", "content": "1"},
        {"role": "tool", "content": "2"},
    ]
    out = with_tools_as_text(messages, [])
    assert [m["role"] for m in out] == ["user", "assistant", "user"]
    assert out[1]["content"].count('<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>') == 2
    assert out[2]["content"].count("<tool_response>") == 2


def test_nothing_changes_without_tools():
    messages = [{"role": "user", "content": "x"}]
    assert with_tools_as_text(messages, []) == messages
