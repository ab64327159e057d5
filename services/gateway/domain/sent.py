"""What workers say they have sent of a request: the ground on which a hold is settled whose gateway was lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import zip_longest


@dataclass(frozen=True, slots=True)
class Sent:
    """One request, over all attempts. `choice_tokens` are per choice its output tokens from index 0 on.

    `epoch` is the attempt that `cached_tokens` are of, None = none has sent anything. `running`: more may come.
    `estimated`: an engine behind somebody else's API had not said yet what it used.
    """

    prompt_tokens: int
    choice_tokens: tuple[int, ...]
    cached_tokens: int = 0
    epoch: int | None = None
    running: bool = False
    estimated: bool = False

    @property
    def completion_tokens(self) -> int:
        """Over all choices."""
        return sum(self.choice_tokens)


@dataclass(frozen=True, slots=True)
class SentAnswer:
    """What the workers said, by request id; requests that none of them knows are left out.

    `complete`: every worker that is known to live has answered. Then a request that is left out, and that began less
    than `covers_seconds` ago, has never reached any of them.
    """

    sent: Mapping[str, Sent] = field(default_factory=dict)
    complete: bool = False
    covers_seconds: float = 0.0


def merged(one: Sent, other: Sent) -> Sent:
    """The accounts of two workers as one: the highest count of each choice, the earlier attempt's cached tokens."""
    first = min(one, other, key=_epoch)
    return Sent(
        prompt_tokens=max(one.prompt_tokens, other.prompt_tokens),
        choice_tokens=tuple(map(max, zip_longest(one.choice_tokens, other.choice_tokens, fillvalue=0))),
        cached_tokens=first.cached_tokens,
        epoch=first.epoch,
        running=one.running or other.running,
        estimated=one.estimated or other.estimated,
    )


def _epoch(sent: Sent) -> float:
    return float("inf") if sent.epoch is None else sent.epoch
