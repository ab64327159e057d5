"""What is measured of a turn: sizes and counts, the newest user message, failures and repeats among the last steps."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.domain.turn_facts import TEXT_CHARACTERS_MAX, cut, failed, turn_facts
from services.gateway.domain.turns import ChatRequest, Guided, Role, Tool, ToolCall, ToolChoice, Turn

SYSTEM, USER = Turn(Role.SYSTEM, "be brief"), Turn(Role.USER, "look it up")


def facts(*turns, **more):
    return turn_facts(ChatRequest("auto", turns, **more))


def step(number, arguments="{}", result="fine", name="look"):
    call = ToolCall(f"c{number}", name, arguments)
    return Turn(Role.ASSISTANT, "", tool_calls=(call,)), Turn(Role.TOOL, result, tool_call_id=call.id)


def steps(*results, arguments=None):
    found = [step(at, arguments or f'{{"n": {at}}}', result) for at, result in enumerate(results)]
    return [turn for pair in found for turn in pair]


def test_sizes_and_counts():
    tool = Tool("look", "finds", '{"type": "object"}')
    answer = Turn(Role.ASSISTANT, "sure", reasoning="hm", tool_calls=(ToolCall("1", "look", "{}"),))
    got = facts(SYSTEM, USER, answer, Turn(Role.USER, "and then?"), tools=(tool,))
    assert (got.text, got.text_characters, got.system_characters) == ("and then?", 9, 8)
    assert got.context_characters == 8 + 10 + 4 + 2 + 6 + 9 + len("lookfinds") + len('{"type": "object"}')
    assert (got.user_turns, got.tools, got.tool_depth) == (2, 1, 0)
    assert facts(SYSTEM).text == ""


def test_depth_is_counted_from_the_newest_user_message():
    assert facts(USER, *steps("a", "b", "c")).tool_depth == 3
    assert facts(USER, *steps("a"), Turn(Role.USER, "go on"), *steps("b", "c")).tool_depth == 2
    assert facts(USER, *steps("a", "b"), Turn(Role.USER, "stop")).tool_depth == 0


def test_only_the_last_six_steps_count():
    assert facts(USER, *steps("Error: no", *["fine"] * 6)).tool_errors == 0
    assert facts(USER, *steps(*["Error: no"] * 9)).tool_errors == 6
    assert facts(USER, *steps("Error: a", "fine", "Error: b")).tool_errors == 2


def test_the_same_call_or_error_again_and_again_is_a_repeat():
    assert facts(USER, *steps("a", "b", "c")).repeats == 1
    assert facts(USER, *steps("a", "b", "c", arguments='{"q": 1}')).repeats == 3
    assert facts(USER, *steps("Error: no", "fine", "Error: no", "Error: other")).repeats == 2
    assert facts(USER, *step(1), *step(2, name="other")).repeats == 1
    assert facts(USER).repeats == 0


@pytest.mark.parametrize(
    "text",
    [
        "Error: no such thing", "ValueError: x", "<error> nope", '{"error": "bad"}', '{"is_error": true}',
        "Traceback (most recent call last):\n  File", "exit code: 1", "Process exited with code 2",
        "x" * 900 + "exit status 3",
        "bash: foo: command not found", "cat: a/b: No such file or directory", '{"success": false, "data": []}',
        "fatal: not a git repository", "Permission denied", "requests.exceptions.HTTPError: 500",
        "Timed out after 30 s",
    ],
)  # fmt: skip
def test_a_failed_tool_is_known_by_what_it_says(text):
    assert failed(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "fine", "Exit code 0", "There were no errors found in errors.py", '{"error": null, "rows": 3}',
        '{"errors": []}', '{"is_error": false}', "3 passed, 0 failed", '{"success": true}', "def on_error(self):",
        "x" * 500 + "Error: in the middle" + "x" * 500, "The timeout is 30 s",
    ],
)  # fmt: skip
def test_a_tool_that_did_its_work_did_not_fail(text):
    assert not failed(text)


def test_what_must_have_a_form_is_structured():
    tool = (Tool("f", "", ""),)
    assert facts(USER, guided=Guided(json_object=True)).structured
    assert facts(USER, tools=tool, tool_choice=ToolChoice("required")).structured
    assert not facts(USER, tools=tool, tool_choice=ToolChoice("auto")).structured
    assert not facts(USER, tool_choice=ToolChoice("required")).structured


@given(st.text(max_size=200), st.integers(min_value=0, max_value=TEXT_CHARACTERS_MAX))
def test_a_long_text_keeps_its_beginning_and_its_end(edge, more):
    text = edge + "-" * more + edge
    short = cut(text)
    assert len(short) == min(len(text), TEXT_CHARACTERS_MAX)
    assert short.startswith(edge)
    assert short.endswith(edge)


@given(st.lists(st.sampled_from([SYSTEM, USER, *step(1), *step(2, result="Error: x")]), max_size=30))
def test_any_order_of_turns_has_facts(turns):
    got = facts(*turns)
    assert 0 <= got.tool_errors <= 6
    assert 0 <= got.repeats <= 6
    assert got.tool_depth <= len(turns)
    assert got.text in {"", USER.text}


def test_the_time_grows_with_the_turns_and_no_faster():
    def seconds(count):
        request = ChatRequest("auto", (USER, *steps(*["Error: " + "x" * 2000] * count)))
        best = 9.0
        for _ in range(3):
            begun = time.process_time()
            for _ in range(10):
                turn_facts(request)
            best = min(best, time.process_time() - begun)
        return best

    assert seconds(2000) < 60 * max(seconds(100), 0.001)
