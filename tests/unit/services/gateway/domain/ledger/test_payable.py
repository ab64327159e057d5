import pytest

from services.gateway.domain.ledger.holds import again, beside, charged_as, for_model, request_of
from services.gateway.domain.ledger.payable import payable, prompt_estimate, step_of
from services.gateway.domain.record import CallRecord
from services.gateway.domain.turns import ChatRequest, Guided, Role, Tool, ToolCall, Turn


def record(**changes):
    return CallRecord("r1", "acme", "m", **{"first_delta_at": 1.0, **changes})


@pytest.mark.parametrize(
    ("ended", "pays"),
    [
        (record(), True),
        (record(streamed=False), True),
        (record(first_delta_at=0.0, error="NO_WORKER"), False),
        (record(first_delta_at=0.0, error="CANCELLED"), False),
        (record(error="STREAM_INTERRUPTED"), True),
        (record(error="CANCELLED"), True),
        (record(streamed=False, error="CANCELLED"), True),
        (record(streamed=False, error="DEADLINE_EXCEEDED"), False),
        (record(streamed=False, error="WORKER_LOST"), False),
    ],
)
def test_the_customer_pays_for_what_was_delivered_and_the_platform_for_its_failures(ended, pays):
    assert payable(ended) is pays


def test_steps_are_told_apart_by_who_spoke_last_and_the_form_of_the_answer():
    asked = (Turn(Role.SYSTEM, "s"), Turn(Role.USER, "u"))
    assert step_of(ChatRequest("m", asked)) == "user/text"
    assert step_of(ChatRequest("m", asked, tools=(Tool("f", "", ""),))) == "user/tools"
    assert step_of(ChatRequest("m", asked, guided=Guided(json_object=True))) == "user/json"
    assert step_of(ChatRequest("m", (*asked, Turn(Role.TOOL, "t", tool_call_id="c")))) == "tool/text"


def test_a_prompt_that_nobody_here_can_count_is_guessed_high():
    text = "four words of text " * 100
    assert prompt_estimate(ChatRequest("m", (Turn(Role.USER, text),))) >= len(text) / 2
    proposed = Turn(Role.ASSISTANT, "", tool_calls=(ToolCall("c1", "write", text),))
    assert prompt_estimate(ChatRequest("m", (proposed,))) >= len(text) / 2


def test_names_of_holds_lead_back_to_their_request():
    assert for_model("r1", 0) == "r1"
    names = {again(for_model("r1", model), number) for model in range(3) for number in range(1, 4)}
    assert len(names) == 9
    assert {request_of(name) for name in names | {"r1"}} == {"r1"}
    for name in names:
        twice = beside(beside(name, 1), 2)
        assert (charged_as(twice), charged_as(name), request_of(twice)) == (name, name, "r1")
