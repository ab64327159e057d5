"""Reports to several replicas: one that is away or frozen costs the others nothing."""

from __future__ import annotations

import asyncio

from headrace.router.v1 import router_pb2 as rpb

from libs.rpc.api import Handler
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.outcome_reports import REPORT, TIMEOUT_SECONDS, OutcomeReports
from services.gateway.domain.record import CallRecord
from services.gateway.usecases import outcomes
from services.gateway.usecases.outcomes import OutcomeLog


class Replica:
    def __init__(self, seconds=0.0):
        self.heard, self.seconds = [], seconds
        self.channel = InMemoryChannel([Handler(REPORT, self.report)], identity="gateway")

    async def report(self, request, info):
        await asyncio.sleep(self.seconds)
        self.heard += request.outcomes
        return rpb.ReportResponse()


def ended(log, worker="a"):
    log.ended(CallRecord("r", "t", "m", worker=worker, boot_id="b1", first_token_ms=3.5))


async def reported(*replicas, rounds=1):
    """The scrape after `rounds` of one call and one report each, and the seconds that they took."""
    log, registry = OutcomeLog(), Registry()
    reports = OutcomeReports(log, [replica.channel for replica in replicas], FakeClock(), registry)
    began = asyncio.get_running_loop().time()
    for _ in range(rounds):
        ended(log)
        await reports.report()
    seconds = asyncio.get_running_loop().time() - began
    for replica in replicas:
        await replica.channel.close()
    await asyncio.sleep(0)
    return registry.render()[1].decode(), seconds


def test_what_no_report_has_room_for_is_counted(monkeypatch):
    monkeypatch.setattr(outcomes, "KEYS_MAX", 1)
    log, registry = OutcomeLog(), Registry()
    OutcomeReports(log, [], FakeClock(), registry)
    for worker in "abc":
        ended(log, worker)
    assert "headrace_gateway_outcomes_untold 2.0" in registry.render()[1].decode()


def test_every_replica_hears_all():
    async def scenario():
        one, other = Replica(), Replica()
        text, _ = await reported(one, other, rounds=2)
        return one.heard, other.heard, text

    one, other, text = run(scenario())
    assert one == other
    assert one == 2 * [
        rpb.Outcomes(worker="a", boot_id="b1", model="m", attempts=1, ttft_buckets=[0, 0, 1]),
    ]
    assert 'headrace_gateway_outcome_reports_total{outcome="sent"} 4.0' in text


def test_a_replica_that_is_lost_or_frozen_holds_nobody_up():
    async def scenario():
        lost, frozen, good = Replica(), Replica(seconds=3600.0), Replica()
        lost.channel.lose()
        text, seconds = await reported(lost, frozen, good)
        return good.heard, text, seconds

    heard, text, seconds = run(scenario())
    assert len(heard) == 1
    assert seconds <= 2 * TIMEOUT_SECONDS
    assert 'headrace_gateway_outcome_reports_total{outcome="lost"} 2.0' in text
