"""Who pays for a call, and what is guessed of it before it runs."""

from __future__ import annotations

from libs.errors import Reason
from services.gateway.domain.record import CallRecord
from services.gateway.domain.turns import ChatRequest

# Of text in the tokenizers that are in use; low, so that the estimate is high.
_CHARACTERS_PER_TOKEN = 2
_TOKENS_PER_TURN = 8


def payable(record: CallRecord) -> bool:
    """Whether the customer pays: the prompt once and what was delivered. Else the platform bears it all.

    A stored answer that stands in costs nothing. A stream that broke off has delivered a part. An answer in one piece
    is delivered whole or not at all; a client that went away while it was made has ordered it.
    """
    if not record.first_delta_at or record.stood_in:
        return False
    return not record.error or record.streamed or record.error == Reason.CANCELLED.value


def step_of(request: ChatRequest) -> str:
    """The kind of step that a call is, for the estimate of its answer's length."""
    role = request.turns[-1].role.value if request.turns else ""
    form = "json" if request.guided is not None else "tools" if request.tools else "text"
    return f"{role}/{form}"


def prompt_estimate(request: ChatRequest) -> int:
    """Prompt tokens of a request whose tokenizer is the engine's secret: more than it will be."""
    characters = sum(len(turn.text) + len(turn.reasoning) for turn in request.turns)
    characters += sum(len(call.arguments_json) for turn in request.turns for call in turn.tool_calls)
    characters += sum(len(tool.description) + len(tool.parameters_json) for tool in request.tools)
    return characters // _CHARACTERS_PER_TOKEN + _TOKENS_PER_TURN * (len(request.turns) + len(request.tools))
