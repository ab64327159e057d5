"""The jobs service's metrics. RPC durations come with every service (libs.telemetry), consumers' with libs.kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from libs.clock import Clock
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import Job

# From the last answer to the event that tells of it; minutes where Kafka or a gateway was away.
_TOLD_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
_HELD_BUCKETS = (0.001, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0)
# Of a gate's figures, in the order in which it tells them.
_FIGURES = ("room", "running", "waiting", "known")


class StateLabels(NamedTuple):
    """See JobState."""

    state: str


class VerdictLabels(NamedTuple):
    """See Verdict."""

    verdict: str


class OutcomeLabels(NamedTuple):
    """`outcome` is "succeeded", "failed" (with a result), "retried" (in its place), "given_back" (its part)."""

    outcome: str


class KindLabels(NamedTuple):
    """`kind` is "renew", "apply" or "put_back"."""

    kind: str


class TaskLabels(NamedTuple):
    """`task` as of the agenda; `outcome` is "done", "failed" or "held"."""

    task: str
    outcome: str


class FigureLabels(NamedTuple):
    """`figure` is "room", "running", "waiting" (requests), or "known" and "unknown" (pools)."""

    figure: str


class JobsMetrics:
    """Declares the instruments; it is every observer of the service."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._ended = registry.counter(
            "headrace_jobs_ended_total", "Jobs whose end was told, by how they ended.", StateLabels
        )
        self._told = registry.histogram(
            "headrace_jobs_told_seconds",
            "From a job's end until it was told: the agenda's lag.",
            NoLabels,
            _TOLD_BUCKETS,
        )
        # "applied" above the number of parts are second attempts; "repeated" are messages that came twice.
        self._begun = registry.counter("headrace_jobs_attempts_total", "Attempts at parts, by verdict.", VerdictLabels)
        # What a paused or cut-off consumer would have done to work that is another's by then.
        self._late = registry.counter(
            "headrace_jobs_late_total", "Writes of fenced attempts that were refused.", KindLabels
        )
        self._steps = registry.counter("headrace_jobs_steps_total", "Requests of jobs, by outcome.", OutcomeLabels)
        self._held = registry.histogram(
            "headrace_jobs_gate_wait_seconds", "How long requests waited for room.", NoLabels, _HELD_BUCKETS
        )
        self._crowded = registry.counter(
            "headrace_jobs_gate_refusals_total", "Requests that found no room where the gate saw some.", NoLabels
        )
        self._tasks = registry.counter("headrace_jobs_agenda_total", "What was due, by what became of it.", TaskLabels)

    def begun(self, verdict: Verdict) -> None:
        """See AttemptObserver."""
        self._begun.inc(VerdictLabels(verdict))

    def late(self, kind: str) -> None:
        """See AttemptObserver."""
        self._late.inc(KindLabels(kind))

    def step(self, outcome: str) -> None:
        """See AttemptObserver."""
        self._steps.inc(OutcomeLabels(outcome))

    def held(self, seconds: float) -> None:
        """See GateObserver."""
        self._held.observe(NO_LABELS, seconds)

    def crowded(self) -> None:
        """See GateObserver."""
        self._crowded.inc(NO_LABELS)

    def did(self, task: str, outcome: str, count: int = 1) -> None:
        """See AgendaObserver."""
        self._tasks.inc(TaskLabels(task, outcome), count)

    def ended(self, job: Job) -> None:
        """See AgendaObserver."""
        self._ended.inc(StateLabels(job.state))
        self._told.observe(NO_LABELS, max(0.0, self._clock.unix() - job.ended_ms / 1000))

    def watch(self, attempts: Callable[[], int], gate: Callable[[], Mapping[str, tuple[int, int, int, bool]]]) -> None:
        """Gauges that are read at each scrape."""
        parts = self._registry.gauge("headrace_jobs_running_parts", "Parts that run here.", NoLabels)
        parts.read_from(NO_LABELS, attempts)
        # "unknown" above 0: a router is away, or jobs ask for a name whose capacity it does not tell.
        figures = self._registry.gauge("headrace_jobs_gate", "The gate, over all pools.", FigureLabels)
        for place, figure in enumerate(_FIGURES):
            figures.read_from(FigureLabels(figure), partial(_sum, gate, place))
        figures.read_from(FigureLabels("unknown"), lambda: sum(not each[3] for each in gate().values()))


def _sum(gate: Callable[[], Mapping[str, tuple[int, int, int, bool]]], place: int) -> float:
    return sum(each[place] for each in gate().values())
