"""`/spend/logs` and `/global/spend/report`, from the ledger's sums by day.

The ledger sums by one thing at a time. Where LiteLLM breaks a sum down by two (keys within models), there is the outer
one with its own parts, and the inner is left empty.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal, Protocol

from fastapi import APIRouter, Depends

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.desk.reports import Days, summed
from services.gateway.api.litellm.amounts import iso, number
from services.gateway.api.litellm.lookups import Lookups
from services.gateway.api.litellm.views import Json
from services.gateway.domain.accounts.spend import Dimension, SpendRow
from services.gateway.domain.turns import Principal

GroupBy = Literal["team", "customer", "api_key"]
# LiteLLM's own bound on single requests in one answer.
ROWS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Logged:
    """One request in /spend/logs. Times are Unix seconds."""

    request_id: str
    key: str
    tenant: str
    user: str
    end_user: str
    model: str
    cost_nanodollars: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    started_at: float
    ended_at: float
    tags: dict[str, str]


class RequestLog(Protocol):
    """Requests that have ended. Raises STORE_UNAVAILABLE."""

    async def find(self, actor: Principal, request_id: str) -> Logged | None:
        """One that the actor may see, else None."""
        ...

    async def newest(
        self, actor: Principal, tenant: str, *, key: str, user: str, days: Days | None, limit: int
    ) -> Sequence[Logged]:
        """Those of a tenant that the actor may see, newest first; tenant "" = its own, else "" and None = any."""
        ...


class NoRequestLog:
    """Where no request records are kept."""

    async def find(self, actor: Principal, request_id: str) -> Logged | None:
        """See RequestLog."""
        del actor, request_id
        return None

    async def newest(
        self, actor: Principal, tenant: str, *, key: str, user: str, days: Days | None, limit: int
    ) -> Sequence[Logged]:
        """See RequestLog."""
        del actor, tenant, key, user, days, limit
        return ()


class SpendRoutes:
    """What the routes do, over the desk."""

    def __init__(self, lookups: Lookups, log: RequestLog) -> None:
        self._lookups = lookups
        self._log = log

    async def logs(self, actor: Principal, asked: LogQuery) -> list[Json]:
        """Sums by day where there are days and nothing else is said, else single requests."""
        named = await self._lookups.key(actor, asked.api_key) if asked.api_key else None
        key, tenant = (named.id, named.tenant) if named else ("", "")
        if asked.request_id:
            found = await self._log.find(actor, asked.request_id)
            return [_logged(found)] if found else []
        days = Days.of(asked.start_date, asked.end_date, self._today()) if asked.start_date and asked.end_date else None
        if days and asked.summarize:
            return await self._daily(actor, key, asked.user_id, days)
        rows = await self._log.newest(actor, tenant, key=key, user=asked.user_id, days=days, limit=ROWS_MAX)
        return [_logged(row) for row in rows]

    async def report(self, actor: Principal, asked: ReportQuery) -> list[Json]:
        """Sums by day and team or customer, or by key over all days."""
        if not asked.start_date or not asked.end_date:
            message = "Give 'start_date' and 'end_date', as 2026-01-31."
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="start_date")
        days = Days.of(asked.start_date, asked.end_date, self._today())
        if asked.api_key:
            key = await self._lookups.key(actor, asked.api_key)
            rows = await self._rows(actor, key.tenant, Dimension.KEY, days)
            return [_total("api_key", row) for row in summed(rows) if row.value == key.id]
        if asked.internal_user_id:
            user = await self._lookups.user(actor, asked.internal_user_id)
            rows = await self._rows(actor, user.tenant, Dimension.USER, days)
            return [_total("internal_user_id", row) for row in summed(rows) if row.value == user.id]
        if asked.group_by == "api_key":
            return [
                _total("api_key", row) for row in summed(await self._rows(actor, asked.team_id, Dimension.KEY, days))
            ]
        if asked.group_by == "customer":
            return await self._customers(actor, asked.team_id, asked.customer_id, days)
        return await self._teams(actor, asked.team_id, days)

    async def _daily(self, actor: Principal, key: str, user: str, days: Days) -> list[Json]:
        """One object per day with spend, up to the last day asked for."""
        by_key = [row for row in await self._rows(actor, "", Dimension.KEY, days) if key in {"", row.value}]
        by_user = await self._seen(actor, Dimension.USER, days) if not key else []
        by_user = [row for row in by_user if user in {"", row.value}]
        by_model = await self._seen(actor, Dimension.MODEL, days) if not key and not user else []
        total = by_user if user and not key else by_key
        grouped = [_by_day(rows) for rows in (total, by_key if not user else [], by_user, by_model)]
        spent, keys, users, models = grouped
        found = [
            {**_sums(keys[day]), **_day(day, spent[day]), "users": _sums(users[day]), "models": _sums(models[day])}
            for day in sorted(spent)
        ]
        return [*found, *_padding(max(spent), days.last)] if spent else []

    async def _teams(self, actor: Principal, team: str, days: Days) -> list[Json]:
        found: dict[str, list[Json]] = defaultdict(list)
        async for tenant in self._lookups.team_ids(actor, team):
            name = (await self._lookups.desk.tenants.get(actor, tenant)).name or tenant
            models = _by_day(await self._lookups.desk.reports.usage(actor, tenant, Dimension.MODEL, days))
            for day, rows in models.items():
                found[day].append({"team_name": name, "total_spend": _cost(rows), "metadata": [_part(r) for r in rows]})
        return [{"group_by_day": day, "teams": found[day]} for day in sorted(found)]

    async def _customers(self, actor: Principal, team: str, customer: str, days: Days) -> list[Json]:
        rows = await self._rows(actor, team, Dimension.END_USER, days)
        grouped = _by_day([row for row in rows if customer in {"", row.value}])
        return [
            {
                "group_by_day": day,
                "customers": [
                    {"customer": row.value, "total_spend": number(row.cost_nanodollars), "metadata": []}
                    for row in grouped[day]
                ],
            }
            for day in sorted(grouped)
        ]

    async def _rows(self, actor: Principal, team: str, by: Dimension, days: Days) -> list[SpendRow]:
        rows: list[SpendRow] = []
        async for tenant in self._lookups.team_ids(actor, team):
            rows += await self._lookups.desk.reports.usage(actor, tenant, by, days)
        return rows

    async def _seen(self, actor: Principal, by: Dimension, days: Days) -> list[SpendRow]:
        """As `_rows`; nothing where the actor may not sum by that."""
        try:
            return await self._rows(actor, "", by, days)
        except PlatformError as problem:
            if problem.reason is not Reason.PERMISSION_DENIED:
                raise
            return []

    def _today(self) -> date:
        return datetime.fromtimestamp(self._lookups.desk.clock.unix(), UTC).date()


@dataclass
class LogQuery:
    """What /spend/logs asks for."""

    api_key: str = ""
    user_id: str = ""
    request_id: str = ""
    start_date: str = ""
    end_date: str = ""
    summarize: bool = True


@dataclass
class ReportQuery:
    """What /global/spend/report asks for."""

    start_date: str = ""
    end_date: str = ""
    group_by: GroupBy = "team"
    api_key: str = ""
    internal_user_id: str = ""
    team_id: str = ""
    customer_id: str = ""


_LOG_QUERY = Depends(LogQuery)
_REPORT_QUERY = Depends(ReportQuery)


def add_spend(router: APIRouter, lookups: Lookups, who: Any, log: RequestLog) -> None:
    """Adds the routes."""
    spend = SpendRoutes(lookups, log)

    @router.get("/spend/logs")
    async def litellm_spend_logs(asked: LogQuery = _LOG_QUERY, caller: Principal = who) -> list[Json]:
        """Sums by day, or single requests."""
        return await spend.logs(caller, asked)

    @router.get("/global/spend/report")
    async def litellm_spend_report(asked: ReportQuery = _REPORT_QUERY, caller: Principal = who) -> list[Json]:
        """Sums by team, customer or key."""
        return await spend.report(caller, asked)


def _logged(row: Logged) -> Json:
    return {
        "request_id": row.request_id,
        "call_type": "acompletion",
        "api_key": row.key,
        "team_id": row.tenant,
        "user": row.user,
        "end_user": row.end_user,
        "model": row.model,
        "spend": number(row.cost_nanodollars),
        "total_tokens": row.prompt_tokens + row.completion_tokens,
        "prompt_tokens": row.prompt_tokens,
        "completion_tokens": row.completion_tokens,
        "startTime": iso(row.started_at),
        "endTime": iso(row.ended_at),
        "cache_hit": str(row.cached_tokens > 0),
        "metadata": row.tags,
        "request_tags": sorted(row.tags),
        "messages": {},
        "response": {},
    }


def _by_day(rows: Sequence[SpendRow]) -> defaultdict[str, list[SpendRow]]:
    days: defaultdict[str, list[SpendRow]] = defaultdict(list)
    for row in rows:
        days[row.day].append(row)
    return days


def _day(day: str, rows: Sequence[SpendRow]) -> Json:
    return {"startTime": day, "spend": _cost(rows)}


def _padding(after: str, last: str) -> list[Json]:
    begin, end = date.fromisoformat(after), date.fromisoformat(last)
    days = (begin + timedelta(days=offset) for offset in range(1, (end - begin).days + 1))
    return [{"startTime": day.isoformat(), "spend": 0, "users": {}, "models": {}} for day in days]


def _sums(rows: Sequence[SpendRow]) -> dict[str, float]:
    return {row.value: number(row.cost_nanodollars) for row in summed(rows)}


def _cost(rows: Sequence[SpendRow]) -> float:
    return number(sum(row.cost_nanodollars for row in rows))


def _part(row: SpendRow) -> Json:
    tokens = row.prompt_tokens + row.completion_tokens
    return {"model": row.value, "api_key": None, "spend": number(row.cost_nanodollars), "total_tokens": tokens}


def _total(name: str, row: SpendRow) -> Json:
    return {
        name: row.value,
        "total_cost": number(row.cost_nanodollars),
        "total_input_tokens": row.prompt_tokens,
        "total_output_tokens": row.completion_tokens,
        "model_details": [],
    }
