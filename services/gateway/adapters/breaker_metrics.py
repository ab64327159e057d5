"""Metrics and log lines of breakers. Workers are those of the router's plans; a life that is forgotten goes with it."""

from __future__ import annotations

from typing import NamedTuple

from libs.telemetry import get_logger
from libs.telemetry.metrics import Registry

_STATES = {"closed": 0, "half-open": 1, "open": 2}
_log = get_logger("breakers")


class WorkerLabels(NamedTuple):
    """`model` and `worker` are names of the catalog."""

    model: str
    worker: str


class TurnLabels(NamedTuple):
    """`state` is the one after the transition, `cause` as in domain/blame.py and usecases/watchdog.py."""

    model: str
    state: str
    cause: str


class SkipLabels(NamedTuple):
    """`why` is "breaker-open", "half-open" or "retry-after"."""

    why: str


class StallLabels(NamedTuple):
    """`cause` is "silent", "stuck" or "stalled"."""

    cause: str


class BreakerMetrics:
    """See ports.BreakerObserver."""

    def __init__(self, registry: Registry) -> None:
        self._state = registry.gauge(
            "headrace_gateway_breaker_state", "0 closed, 1 half-open, 2 open; workers that never failed have none.",
            WorkerLabels,
        )  # fmt: skip
        self._turns = registry.counter("headrace_gateway_breaker_transitions_total", "By new state.", TurnLabels)
        # Candidates of plans that were not tried: no attempts, and nothing of the retry budget.
        self._skipped = registry.counter("headrace_gateway_candidates_skipped_total", "Workers left out.", SkipLabels)
        self._stalls = registry.counter(
            "headrace_gateway_attempts_stalled_total", "Attempts that were given up while they ran.", StallLabels
        )

    def changed(self, model: str, worker: str, state: str, cause: str) -> None:
        """See ports.BreakerObserver."""
        self._state.set(WorkerLabels(model, worker), _STATES[state])
        self._turns.inc(TurnLabels(model, state, cause))
        say = _log.warning if state == "open" else _log.info
        say("breaker", model=model, worker=worker, state=state, cause=cause)

    def skipped(self, why: str) -> None:
        """See ports.BreakerObserver."""
        self._skipped.inc(SkipLabels(why))

    def stalled(self, cause: str) -> None:
        """See ports.BreakerObserver."""
        self._stalls.inc(StallLabels(cause))

    def forgotten(self, model: str, worker: str) -> None:
        """See ports.BreakerObserver; a life that was forgotten has no open breaker."""
        self._state.set(WorkerLabels(model, worker), 0)
