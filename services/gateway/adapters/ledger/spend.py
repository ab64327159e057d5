"""What was spent, read from the ledger: scopes as they stand, and the sums by day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_PER_DOLLAR
from libs.valkey import Valkey
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.domain.accounts.spend import BudgetState, Dimension, ScopeSpend, SpendRow

DAYS_MAX = 400
_EPOCH = date(1970, 1, 1)
_SUM_BATCH = 1000


class ValkeySpend:
    """See ports.Spend."""

    def __init__(self, valkey: Valkey) -> None:
        self._valkey = valkey

    async def of_scopes(self, tenant: str, scopes: Sequence[str]) -> Sequence[ScopeSpend]:
        """See ports.Spend. A session tree's budget is known only beside the scopes above it: ask for all of them."""
        shown = msgspec.msgpack.decode(await self._valkey.call(LEDGER, "show", [prefix_of(tenant)], list(scopes)))
        return [_scope(*found) for found in shown]

    async def by(self, tenant: str, dimension: Dimension, first_day: str, last_day: str) -> Sequence[SpendRow]:
        """See ports.Spend. Raises INVALID_REQUEST for days that are none, or more than 400 of them."""
        days = _days(first_day, last_day)
        while await self._valkey.call(LEDGER, "sum", [prefix_of(tenant)], [_SUM_BATCH]):
            pass
        rows: list[SpendRow] = []
        for day in days:
            key = f"{prefix_of(tenant)}:day:{(day - _EPOCH).days}:{dimension.value}"
            found: dict[bytes, bytes] = await self._valkey.command("HGETALL", key)
            for value, packed in sorted(found.items()):
                # The store knows the tenant by its place only.
                name = tenant if dimension is Dimension.TENANT else value.decode("utf-8", "replace")
                rows.append(_row(day, name, msgspec.msgpack.decode(packed)))
        return rows


def _scope(name: str, dollars: int, rest: int, held: int, running: int, budgets: list[Any]) -> ScopeSpend:
    states = tuple(_budget(*budget) for budget in budgets)
    settled = dollars * NANODOLLARS_PER_DOLLAR + rest
    return ScopeSpend(scope=name, settled_nanodollars=settled, held_nanodollars=held, running=running, budgets=states)


def _budget(duration: str, limit: int, settled: int, held: int, ends_us: int) -> BudgetState:
    return BudgetState(
        duration=duration,
        limit_nanodollars=limit,
        settled_nanodollars=settled,
        held_nanodollars=held,
        resets_at=None if ends_us < 0 else ends_us / 1_000_000,
    )


def _row(day: date, value: str, sums: list[int]) -> SpendRow:
    requests, prompt, cached, completion, _, cost, platform = sums
    return SpendRow(
        day=day.isoformat(),
        value=value,
        requests=requests,
        prompt_tokens=prompt,
        cached_tokens=cached,
        completion_tokens=completion,
        cost_nanodollars=cost,
        platform_nanodollars=platform,
    )


def _days(first: str, last: str) -> list[date]:
    try:
        start, end = _day(first), _day(last)
    except ValueError:
        raise _refused(f"'{first[:20]}' to '{last[:20]}' are no days; write 2026-01-31") from None
    if not start <= end < start + timedelta(days=DAYS_MAX):
        raise _refused(f"the days must be in order, and {DAYS_MAX} at most")
    return [start + timedelta(days=at) for at in range((end - start).days + 1)]


def _day(text: str) -> date:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()


def _refused(why: str) -> PlatformError:
    return PlatformError(Reason.INVALID_REQUEST, f"Spend cannot be read: {why}.", started=False, param="days")
