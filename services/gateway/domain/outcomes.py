"""What became of attempts, summed up for the router: per life of a worker, model and variant."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.errors import Reason
from services.gateway.domain.attempts import Outcome, PastAttempt
from services.gateway.domain.record import CallRecord
from services.gateway.domain.route import Route

# Bucket i has times below 2^i ms and not below 2^(i-1): the last one is those from two hours on.
BUCKETS = 24
# The worker is as it should be: it is full, or leaves, or was asked for what it does not serve, or waited for us.
_NO_FAULT = frozenset(
    {Reason.OVERLOADED, Reason.DRAINING, Reason.WRONG_DIGEST, Reason.MODEL_NOT_FOUND, Reason.SLOW_READER}
)


class OutcomeKey(NamedTuple):
    """Whose attempts."""

    worker: str
    boot_id: str
    model: str
    variant: str


@dataclass(slots=True)
class OutcomeSums:
    """Sums since the last report; fields as on the wire (router's Outcomes)."""

    attempts: int = 0
    failures: int = 0
    refusals: int = 0
    ttft_buckets: list[int] = field(default_factory=list)
    cached_tokens_predicted: int = 0
    cached_tokens_reported: int = 0
    predictions: int = 0

    def count(self, first_token_ms: float | None) -> None:
        """One attempt more, and how long its first token took; None = it gave none."""
        self.attempts += 1
        if first_token_ms is not None:
            bucket = min(int(first_token_ms).bit_length(), BUCKETS - 1)
            if bucket >= len(self.ttft_buckets):
                self.ttft_buckets.extend([0] * (bucket + 1 - len(self.ttft_buckets)))
            self.ttft_buckets[bucket] += 1


def attempts_of(record: CallRecord) -> Iterator[tuple[OutcomeKey, PastAttempt | None]]:
    """The attempts of a call that has ended; None = the last one, which no error of its worker ended."""
    for past in record.past:
        model = past.model or record.model
        yield OutcomeKey(past.worker, past.boot_id, model, _variant(record.route, model)), past
    ended = record.past[-1].worker if record.past and (record.error or record.stood_in) else ""
    if record.worker and record.worker != ended:
        yield OutcomeKey(record.worker, record.boot_id, record.model, _variant(record.route, record.model)), None


def failed(past: PastAttempt) -> bool:
    """Whether the worker is to blame for how an attempt ended."""
    return past.outcome not in (Outcome.FINAL, Outcome.DRAIN) and past.reason not in _NO_FAULT


def foretold(record: CallRecord) -> int | None:
    """Tokens that the cache of the worker that answered was expected to hold.

    None = there is nothing to compare with: nobody foretold anything, or another worker was meant than answered.
    """
    if record.route is None or record.past or record.error or record.resumes or record.stood_in:
        return None
    return record.route.predicted


def _variant(route: Route | None, model: str) -> str:
    if route is None:
        return ""
    return next((choice.variant for choice in route.choices if choice.model == model), "")
