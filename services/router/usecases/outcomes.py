"""Hands what gateways report of their attempts to those who learn from it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from services.router.domain.outcomes import Outcomes

Listener = Callable[[Outcomes], object]


class OutcomeObserver(Protocol):
    """Counts reports, for metrics. Never blocks or raises."""

    def reported(self, told: Outcomes) -> None:
        """One gateway's sums of a worker that the settings name."""
        ...


class OutcomeBoard:
    """One call per listener and sums, in the order of the reports; nothing is kept here.

    Gateways tell every replica of theirs, each once: a listener counts what it hears and never asks for more.
    """

    def __init__(self, known: Callable[[str], bool], observer: OutcomeObserver) -> None:
        """`known`: whether the settings name a worker; what is said of others goes to listeners only."""
        self._known, self._observer = known, observer
        self._listeners: list[Listener] = []

    def listen(self, listener: Listener) -> None:
        """Calls back with all reports from now on. It must be quick and must not raise."""
        self._listeners.append(listener)

    def take(self, report: Iterable[Outcomes]) -> None:
        """One gateway's report."""
        for told in report:
            if self._known(told.worker):
                self._observer.reported(told)
            for listener in self._listeners:
                listener(told)
