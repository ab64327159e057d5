"""`/v1/admin/usage`, `/v1/admin/spend`, `/v1/admin/audit` and `/v1/me`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter

from libs.money import to_dollars
from services.gateway.api.accounts.answers import AuditOut, LimitsOut, Me, Page, ScopeOut, SpendRowOut, UsageOut
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.desk.reports import Days, summed
from services.gateway.api.accounts.routes.pages import paged
from services.gateway.domain.accounts.spend import Dimension, SpendRow
from services.gateway.domain.turns import Principal


def add_reports(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    _add_sums(router, desk, who)
    reports = desk.reports

    @router.get("/v1/admin/audit")
    async def list_audit_entries(
        tenant: str = "", after: str = "", limit: int = 100, caller: Principal = who
    ) -> Page[AuditOut]:
        """Who changed what in a tenant, newest first. Prices are changed in the tenant `_platform`."""
        return paged(await reports.audit(caller, tenant, after=after, limit=limit), AuditOut.of)

    @router.get("/v1/me")
    async def get_me(caller: Principal = who) -> Me:
        """Whose key this is, what bounds it and what is left."""
        found = await reports.me(caller)
        return Me(
            tenant=caller.tenant,
            key=caller.key_id,
            user=caller.account_user or None,
            role=caller.role,
            models=None if caller.models is None else sorted(caller.models),
            limits={scope: LimitsOut.of(limits) for scope, limits in found.limits.items()},
            spend=[ScopeOut.of(spend, found.limits[spend.scope].budgets) for spend in found.spend],
        )


def _add_sums(router: APIRouter, desk: Desk, who: Any) -> None:
    def days_of(first: str, last: str) -> Days:
        return Days.of(first, last, datetime.fromtimestamp(desk.clock.unix(), UTC).date())

    @router.get("/v1/admin/usage")
    async def get_usage(
        by: Dimension = Dimension.MODEL,
        tenant: str = "",
        first_day: str = "",
        last_day: str = "",
        caller: Principal = who,
    ) -> UsageOut:
        """Sums per day and value, UTC; without days the last 30. Tags read "feature=search"."""
        days = days_of(first_day, last_day)
        rows = await desk.reports.usage(caller, tenant, by, days)
        return _out("usage", by, days, rows)

    @router.get("/v1/admin/spend")
    async def get_spend(
        by: Dimension = Dimension.MODEL,
        tenant: str = "",
        first_day: str = "",
        last_day: str = "",
        caller: Principal = who,
    ) -> UsageOut:
        """As usage, summed over the days, dearest first."""
        days = days_of(first_day, last_day)
        rows = await desk.reports.usage(caller, tenant, by, days)
        return _out("spend", by, days, summed(rows))


def _out(kind: Literal["usage", "spend"], by: Dimension, days: Days, rows: Sequence[SpendRow]) -> UsageOut:
    return UsageOut(
        object=kind,
        by=by,
        first_day=days.first,
        last_day=days.last,
        cost_usd=to_dollars(sum(row.cost_nanodollars for row in rows)),
        data=[SpendRowOut.of(row) for row in rows],
    )
