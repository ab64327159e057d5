"""Whether what workers were thought to have cached is what they had."""

from __future__ import annotations

from dataclasses import dataclass

from services.router.domain.outcomes import Outcomes


@dataclass(frozen=True, slots=True)
class DriftRule:
    """`error_max` is the share by which foreseen and found tokens may differ, over about `answers` answers."""

    error_max: float = 0.25
    answers: int = 50


@dataclass(slots=True)
class _Sums:
    boot_id: str
    answers: float = 0.0
    foreseen: float = 0.0
    found: float = 0.0


class Drift:
    """Sums by worker in which older answers count less: each weighs 1/e after `answers` newer ones."""

    def __init__(self, rule: DriftRule) -> None:
        self._rule = rule
        self._sums: dict[str, _Sums] = {}

    def error(self, worker: str) -> float:
        """Difference of the two sums over the larger one, 0..1; 0 = not known, or nothing was cached."""
        sums = self._sums.get(worker)
        larger = max(sums.foreseen, sums.found) if sums else 0.0
        return abs(sums.foreseen - sums.found) / larger if sums and larger else 0.0

    def took(self, told: Outcomes) -> bool:
        """Whether the worker's cache is not what it is thought to be. Then its sums begin anew.

        It takes `answers` / 2 answers to say so. Errors of both signs cancel out: a prompt that was evicted just before
        it came is everyday life, a cache that is always less, or more, than expected is not.
        """
        if not told.predictions:
            return False
        sums = self._sums.get(told.worker)
        if sums is None or sums.boot_id != told.boot_id:
            sums = self._sums[told.worker] = _Sums(told.boot_id)
        kept = (1.0 - 1.0 / self._rule.answers) ** told.predictions
        sums.answers = sums.answers * kept + told.predictions
        sums.foreseen = sums.foreseen * kept + told.cached_tokens_predicted
        sums.found = sums.found * kept + told.cached_tokens_reported
        if sums.answers < self._rule.answers / 2 or self.error(told.worker) <= self._rule.error_max:
            return False
        del self._sums[told.worker]
        return True
