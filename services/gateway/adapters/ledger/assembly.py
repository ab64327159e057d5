"""Puts the gateway's side of the ledger together."""

from __future__ import annotations

from dataclasses import dataclass

from libs.clock import Clock
from libs.telemetry.metrics import Registry
from libs.valkey import Valkey
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.estimate import OutputEstimates
from services.gateway.metrics import LedgerMetrics
from services.gateway.ports import PriceBook
from services.gateway.ports.sent import SentCounts
from services.gateway.usecases.ledger.charge import Charges
from services.gateway.usecases.ledger.keeper import KeeperLimits, LedgerKeeper
from services.gateway.usecases.ledger.sweeper import Sweeper, SweepTimes


@dataclass(frozen=True, slots=True)
class LedgerParts:
    """What the gateway works with; `keeper.run`, `keeper.lives.follow` and a sweeper must run beside it."""

    store: ValkeyLedger
    outbox: ValkeyOutbox
    keeper: LedgerKeeper
    charges: Charges
    clock: Clock
    metrics: LedgerMetrics
    sweeps: SweepTimes

    def sweeper(self, sent: SentCounts) -> Sweeper:
        """Ends the holds of gateways that are gone."""
        keeper = self.keeper
        may = keeper.may_expire, keeper.may_guess
        return Sweeper(self.store, self.outbox, sent, self.clock, self.sweeps, *may, self.metrics)


def ledger_parts(
    valkey: Valkey,
    prices: PriceBook,
    clock: Clock,
    registry: Registry,
    name: str,
    times: LeaseTimes,
    limits: KeeperLimits,
) -> LedgerParts:
    """`name` tells this life of this gateway apart from all others."""
    store, metrics = ValkeyLedger(valkey, times), LedgerMetrics(registry)
    keeper = LedgerKeeper(store, store, clock, name, limits, metrics)
    charges = Charges(keeper, prices, OutputEstimates(), clock, metrics)
    sweeps = SweepTimes.within(times.lease_seconds, times.grace_seconds)
    return LedgerParts(store, ValkeyOutbox(valkey), keeper, charges, clock, metrics, sweeps)
