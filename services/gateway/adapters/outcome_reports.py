"""Tells every router replica what became of attempts."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from headrace.router.v1 import router_pb2

from libs.clock import Clock
from libs.errors import PlatformError
from libs.rpc.api import Channel
from libs.rpc.method import method
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.gateway import convert
from services.gateway.usecases.outcomes import OutcomeLog

_SERVICE = router_pb2.DESCRIPTOR.services_by_name["RouterService"]
REPORT = method(_SERVICE, "Report", router_pb2.ReportRequest, router_pb2.ReportResponse)
# A worker that fails is told within it; each gateway costs each router two small calls a second.
INTERVAL_SECONDS = 0.5
# Later news follows anyway.
TIMEOUT_SECONDS = 0.4


class ReportLabels(NamedTuple):
    """`outcome` is "sent" or "lost"."""

    outcome: str


class OutcomeReports:
    """Sends reports while there is news. A replica that is away misses them: they are not sent again."""

    def __init__(self, log: OutcomeLog, channels: Sequence[Channel], clock: Clock, registry: Registry) -> None:
        self._log, self._channels, self._clock = log, channels, clock
        self._reports = registry.counter(
            "headrace_gateway_outcome_reports_total",
            "Reports, one per router replica.",
            ReportLabels,
        )
        # More workers, models and variants than a report names: the router sees a part of what goes on.
        untold = registry.gauge(
            "headrace_gateway_outcomes_untold", "Attempts left out of reports since the start.", NoLabels
        )
        untold.read_from(NO_LABELS, lambda: log.untold)

    async def keep(self) -> None:
        """Reports until it is cancelled."""
        while True:
            await self._clock.sleep(INTERVAL_SECONDS)
            await self.report()

    async def report(self) -> None:
        """One report to all replicas, if there is news. Never raises PlatformError."""
        if news := self._log.take():
            request = convert.report_request(news)
            await asyncio.gather(*[self._tell(channel, request) for channel in self._channels])

    async def _tell(self, channel: Channel, request: router_pb2.ReportRequest) -> None:
        outcome = "sent"
        try:
            await channel.call(REPORT, request, timeout=TIMEOUT_SECONDS)
        except PlatformError:
            outcome = "lost"
        self._reports.inc(ReportLabels(outcome))
