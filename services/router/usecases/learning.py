"""Learns from what gateways report of their attempts: whom to leave alone, and whose cache is not what it seems."""

from __future__ import annotations

from libs.telemetry import get_logger
from services.router.domain.drift import Drift
from services.router.domain.ejection import Ejection
from services.router.domain.outcomes import Outcomes
from services.router.usecases.fleet import Fleet

_log = get_logger("router")


class Learning:
    """Hears reports (`took`, for OutcomeBoard) and lets time pass (`sweep`)."""

    def __init__(self, fleet: Fleet, drift: Drift, ejection: Ejection | None) -> None:
        """Without `ejection` nobody is taken out."""
        self._fleet = fleet
        self._drift = drift
        self._ejection = ejection

    def took(self, told: Outcomes) -> None:
        """One gateway's sums. What is said of an earlier life of a worker, or of none, is left out."""
        worker = self._fleet.lives(told.worker).get(told.boot_id)
        if worker is None:
            return
        if self._ejection is not None:
            self._ejection.took(told)
        if self._drift.took(told):
            self._fleet.drifted(worker)
            _log.info("cache differs from what was foreseen, asking for a snapshot", worker=told.worker)

    def sweep(self) -> None:
        """Ejects and lets back; to be called several times per interval."""
        if self._ejection is None:
            return
        for worker in self._fleet.eject(self._ejection):
            _log.warning("worker ejected" if worker.ejected else "worker let back", worker=worker.name)
