"""Consumers that have stopped themselves, in a process that goes on."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import NamedTuple

from libs.kafka.letters_port import StopConsumingError
from libs.telemetry import get_logger
from libs.telemetry.metrics import Registry

_log = get_logger("consumer")


class StoppedLabels(NamedTuple):
    """`consumer` is one of the service's own names."""

    consumer: str


class Stops:
    """Keeps a process whose consumer was stopped by too many dead letters.

    Ended, its supervisor would start it again, and each start would let as many dead letters through as the limit has:
    the topic would drain after all, at the pace of the restarts. So it stands still until somebody starts it anew.
    """

    def __init__(self, registry: Registry) -> None:
        self._stopped = registry.gauge(
            "headrace_consumer_stopped", "1 = it stopped at the limit on dead letters; see the log.", StoppedLabels
        )

    async def guard(self, name: str, consuming: Awaitable[None]) -> None:
        """Returns when it has ended or was stopped. Anything else that it raises goes on."""
        self._stopped.set(StoppedLabels(name), 0)
        try:
            await consuming
        except StopConsumingError as error:
            self._stopped.set(StoppedLabels(name), 1)
            _log.error("consuming has stopped; this process goes on without it", consumer=name, why=str(error))
