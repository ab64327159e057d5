"""Charges that limit nothing and cost nothing to keep: for tests, and to measure what the ledger costs. No setting and
no argument of the service leads here.
"""

from __future__ import annotations

from collections.abc import Callable

from libs.clock import Clock
from libs.telemetry.metrics import Registry
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.ledger.estimate import OutputEstimates
from services.gateway.domain.ledger.types import Ask, HoldReply, Outcome, Progress, Settlement
from services.gateway.metrics import LedgerMetrics
from services.gateway.usecases.ledger.charge import Charges


class NullLedger:
    """Grants everything at once; `settled` keeps the ends where they are asked for."""

    def __init__(self, *, keep: bool = False) -> None:
        self.keep = keep
        self.settled: list[Settlement] = []

    async def hold(self, ask: Ask, progress: Callable[[], Progress]) -> HoldReply:
        """See ports.Ledger."""
        del progress
        return HoldReply(Outcome.OK, amount=ask.amount, tokens=ask.tokens)

    async def extend(self, ask: Ask, amount: int, tokens: int, progress: Progress) -> Outcome:
        """See ports.Ledger."""
        del ask, amount, tokens, progress
        return Outcome.OK

    def settle(self, ask: Ask, settlement: Settlement) -> None:
        """See ports.Ledger."""
        del ask
        if self.keep:
            self.settled.append(settlement)

    def leave(self, ask: Ask) -> None:
        """See ports.Ledger."""
        del ask


class OnePrice:
    """Every model costs the same: a thousand nano-dollars per prompt token, 100 cached, 2,000 per output token."""

    def find(self, *names: str) -> Price | None:
        """See ports.PriceBook."""
        million = 1_000_000
        return Price(
            model=names[0],
            input_nanodollars=1000 * million,
            cached_nanodollars=100 * million,
            output_nanodollars=2000 * million,
        )


def null_charges(clock: Clock, ledger: NullLedger | None = None) -> Charges:
    """Charges over a ledger that limits nothing."""
    return Charges(ledger or NullLedger(), OnePrice(), OutputEstimates(), clock, LedgerMetrics(Registry()))
