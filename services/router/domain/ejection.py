"""Takes workers out for a while that fail, or lag, as the others of their model do not.

After Envoy's outlier detection (its documentation, "Outlier detection"): judged once per interval from what was
reported in it; out for a base time times the number of ejections; no more than a part of the workers at once. Breakers
in the gateways act within a second on what one gateway sees; this one sees what all gateways report, and ends what
breakers cannot: probe after probe against a worker that is up and no good.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median

from services.router.domain.outcomes import Outcomes
from services.router.domain.worker import Worker, WorkerState

_NO_FAULT = (0.0, "")


@dataclass(frozen=True, slots=True)
class EjectionRule:
    """See EjectionSettings."""

    interval_seconds: float = 5.0
    attempts_min: int = 10
    failure_share: float = 0.3
    ttft_factor: float = 4.0
    ttft_ms_min: float = 500.0
    base_seconds: float = 30.0
    seconds_max: float = 300.0
    workers_share_max: float = 0.5


@dataclass(slots=True)
class _Seen:
    """Of one worker in this interval; `times` is ejections, less one for each interval that it did well."""

    attempts: int = 0
    failures: int = 0
    ttft: list[int] = field(default_factory=list)
    times: int = 0
    until: float = 0.0

    @property
    def failure_share(self) -> float:
        return self.failures / self.attempts

    def ttft_ms(self) -> float | None:
        """Upper end of the median's bucket; None below ten first tokens."""
        total, below = sum(self.ttft), 0
        if total < 10:
            return None
        for bucket, count in enumerate(self.ttft):
            below += count
            if 2 * below >= total:
                return float(1 << bucket)
        return None

    def begin_anew(self) -> None:
        self.attempts = self.failures = 0
        self.ttft = []


class Ejection:
    """Judges by worker name. Times are `Clock.monotonic`. `ejections` counts, by cause."""

    def __init__(self, rule: EjectionRule) -> None:
        self._rule = rule
        self._seen: dict[str, _Seen] = {}
        self._judged_at: float | None = None
        self.ejections = {"failures": 0, "ttft": 0}

    def took(self, told: Outcomes) -> None:
        """Counts a report. What was refused before work began is no failure, and no attempt either."""
        seen = self._seen.setdefault(told.worker, _Seen())
        seen.attempts += max(0, told.attempts - told.refusals)
        seen.failures += told.failures
        seen.ttft += [0] * (len(told.ttft_buckets) - len(seen.ttft))
        for bucket, count in enumerate(told.ttft_buckets):
            seen.ttft[bucket] += count

    def sweep(self, workers: Iterable[Worker], now: float) -> list[Worker]:
        """Lets back whose time is over and, at the end of an interval, takes out who did badly. Returns both."""
        workers = list(workers)
        changed = [worker for worker in workers if worker.ejected and self._of(worker).until <= now]
        for worker in changed:
            worker.ejected = False
        if self._judged_at is None:
            self._judged_at = now
        if now - self._judged_at >= self._rule.interval_seconds:
            self._judged_at = now
            for pool in _pools(workers):
                changed += self._judge(pool, now)
            for seen in self._seen.values():
                seen.begin_anew()
        return changed

    def _judge(self, pool: Sequence[Worker], now: float) -> list[Worker]:
        live = [worker for worker in pool if worker.state is WorkerState.LIVE]
        out = sum(worker.ejected for worker in pool)
        room = max(0, min(int((len(live) + out) * self._rule.workers_share_max) - out, len(live) - 1))
        faults = {worker.name: self._fault(worker, live) for worker in live}
        worst = sorted(live, key=lambda worker: faults[worker.name], reverse=True)
        bad = [worker for worker in worst if faults[worker.name] != _NO_FAULT][:room]
        for worker in bad:
            self._eject(worker, faults[worker.name][1], now)
        for worker in live:
            seen = self._of(worker)
            if faults[worker.name] == _NO_FAULT and seen.attempts >= self._rule.attempts_min:
                seen.times = max(0, seen.times - 1)
        return bad

    def _fault(self, worker: Worker, live: Sequence[Worker]) -> tuple[float, str]:
        """How bad, and why. Only against others: when all do badly, none of them is the cause."""
        seen, rule = self._of(worker), self._rule
        if seen.attempts < rule.attempts_min:
            return _NO_FAULT
        others = [self._of(other) for other in live if other is not worker]
        shares = [other.failure_share for other in others if other.attempts >= rule.attempts_min]
        if seen.failure_share >= rule.failure_share + (median(shares) if shares else 0.0):
            return 1.0 + seen.failure_share, "failures"
        ttft = seen.ttft_ms()
        times = [known for other in others if (known := other.ttft_ms()) is not None]
        if ttft is not None and times and ttft >= max(rule.ttft_ms_min, rule.ttft_factor * median(times)):
            return 1.0 - median(times) / ttft, "ttft"
        return _NO_FAULT

    def _eject(self, worker: Worker, cause: str, now: float) -> None:
        seen = self._of(worker)
        seen.times += 1
        seen.until = now + min(self._rule.base_seconds * seen.times, self._rule.seconds_max)
        worker.ejected = True
        self.ejections[cause] += 1

    def _of(self, worker: Worker) -> _Seen:
        return self._seen.setdefault(worker.name, _Seen())


def _pools(workers: Iterable[Worker]) -> list[list[Worker]]:
    """Described workers by model: only those can be compared."""
    found: dict[str, list[Worker]] = {}
    for worker in workers:
        if worker.description:
            found.setdefault(worker.description.model, []).append(worker)
    return list(found.values())
