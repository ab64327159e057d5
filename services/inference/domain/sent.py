"""What a worker has sent of a client's request, and what that comes to over several attempts."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest


@dataclass(slots=True)
class Sent:
    """One request, or one attempt of it. `choice_tokens` are per choice its output tokens from index 0 on.

    `epoch` is the attempt that `cached_tokens` are of, None = none has sent anything.
    """

    prompt_tokens: int
    choice_tokens: list[int]
    cached_tokens: int = 0
    epoch: int | None = None
    running: bool = False
    estimated: bool = False


def merged(one: Sent, other: Sent) -> Sent:
    """Both as one: the highest count of each choice, and what the earlier of the attempts found cached."""
    first = min(one, other, key=_epoch)
    return Sent(
        prompt_tokens=max(one.prompt_tokens, other.prompt_tokens),
        choice_tokens=[max(pair) for pair in zip_longest(one.choice_tokens, other.choice_tokens, fillvalue=0)],
        cached_tokens=first.cached_tokens,
        epoch=first.epoch,
        running=one.running or other.running,
        estimated=one.estimated or other.estimated,
    )


def base_id(request_id: str, epoch: int) -> str:
    """The client's request of an attempt's id: "{request}-{attempt}" without the attempt."""
    return request_id.removesuffix(f"-{epoch}")


def _epoch(sent: Sent) -> float:
    return float("inf") if sent.epoch is None else sent.epoch
