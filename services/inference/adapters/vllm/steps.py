"""From one output of the engine core to a Step. Hot: runs once per running choice and engine step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from libs.errors import PlatformError, Reason
from services.inference.ports import Step, TokenLogprobs

TokenBytes = Callable[[int], bytes]

# vLLM's FinishReason (an IntEnum): stop, length, abort, error, repetition.
_FINISHES: Final = {0: "stop", 1: "length", 4: "stop"}
_SCHEDULED: Final = 2
_QUEUED: Final = 1
# The lowest logprob that is sent: -inf is no JSON number. OpenAI uses the same value for "practically never".
_LOGPROB_MIN: Final = -9999.0


def step_of(output: Any, choice: int, token_bytes: TokenBytes) -> Step:
    """The Step of a vLLM EngineCoreOutput. Raises PlatformError when the output says that the request failed."""
    finish = None
    if output.finish_reason is not None:
        finish = _FINISHES.get(int(output.finish_reason))
        if finish is None:
            raise PlatformError(
                Reason.INTERNAL,
                "the engine gave the request up (its grammar did not compile, or a step failed): try again",
            )
    step = Step(choice, output.new_token_ids, finish)
    if output.prefill_stats is not None:
        step.cached_tokens = output.prefill_stats.num_cached_tokens
    if output.events:
        step.queue_seconds = queue_seconds(output.events)
    if output.new_logprobs is not None:
        step.logprobs = logprobs_of(output.new_logprobs, len(output.new_token_ids), token_bytes)
    if isinstance(output.stop_reason, int):
        step.stop_token = output.stop_reason
    return step


def only_tokens(output: Any) -> bool:
    """Whether the Step of a vLLM EngineCoreOutput would have tokens and nothing else."""
    return (
        output.finish_reason is None
        and output.prefill_stats is None
        and output.new_logprobs is None
        and not output.events
        and not isinstance(output.stop_reason, int)
    )


def joined(steps: Sequence[Step]) -> Step:
    """Steps of one choice, in order, as one; only the last may have a finish."""
    first, last = steps[0], steps[-1]
    if first is last:
        return first
    return Step(
        first.choice,
        [token for step in steps for token in step.token_ids],
        last.finish,
        [entry for step in steps for entry in step.logprobs],
        next((step.cached_tokens for step in steps if step.cached_tokens is not None), None),
        next((step.queue_seconds for step in steps if step.queue_seconds is not None), None),
        last.stop_token,
    )


def queue_seconds(events: list[Any]) -> float | None:
    """Seconds between the events "queued" and "scheduled" of a request, None when they are not both there."""
    at = {int(event.type): event.timestamp for event in reversed(events)}
    if _QUEUED in at and _SCHEDULED in at:
        return float(max(0.0, at[_SCHEDULED] - at[_QUEUED]))
    return None


def logprobs_of(lists: Any, tokens: int, token_bytes: TokenBytes) -> list[TokenLogprobs]:
    """One TokenLogprobs per token: the chosen token, then the k best (the chosen one may be among them)."""
    ids = lists.logprob_token_ids[:tokens].tolist()
    values = lists.logprobs[:tokens].tolist()
    return [
        TokenLogprobs([(id_, token_bytes(id_), max(value, _LOGPROB_MIN)) for id_, value in zip(*row, strict=True)])
        for row in zip(ids, values, strict=True)
    ]
