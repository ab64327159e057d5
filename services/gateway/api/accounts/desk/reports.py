"""What was spent, what is left, who changed what: as far as the actor may see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.desk.keys import KeyDesk
from services.gateway.api.accounts.desk.pages import LIMIT_MAX, Slice, check_limit
from services.gateway.api.accounts.desk.rules import Rules, denied
from services.gateway.domain.accounts.access import Action, Relation, Target, Verdict, allowed, judge
from services.gateway.domain.accounts.audit import AuditEntry
from services.gateway.domain.accounts.records import Limits, Role
from services.gateway.domain.accounts.spend import Dimension, ScopeSpend, SpendRow
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import Spend
from services.gateway.usecases.accounts.changes import PAGE

DAYS_MAX = 400


@dataclass(frozen=True, slots=True)
class Days:
    """A range of days, both included, UTC."""

    first: str
    last: str

    @classmethod
    def of(cls, first: str, last: str, today: date) -> Days:
        """The range; "" = 30 days up to today. Raises INVALID_REQUEST."""
        end = _day(last, "last_day") if last else today
        begin = _day(first, "first_day") if first else end - timedelta(days=29)
        if not timedelta(0) <= end - begin < timedelta(days=DAYS_MAX):
            message = f"'first_day' must not be after 'last_day', and at most {DAYS_MAX} days are summed at once."
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="first_day")
        return cls(begin.isoformat(), end.isoformat())


@dataclass(frozen=True, slots=True)
class Whoami:
    """The actor's own scopes, from the widest that it may see on."""

    limits: dict[str, Limits]
    spend: Sequence[ScopeSpend]


@dataclass(frozen=True, slots=True)
class ReportDesk:
    """As TenantDesk."""

    rules: Rules
    keys: KeyDesk
    spend: Spend

    async def usage(self, actor: Principal, tenant: str, by: Dimension, days: Days) -> list[SpendRow]:
        """Sums per day and value. Who sees only its own user or key may ask by user and by key."""
        if by is Dimension.TENANT and not tenant and actor.role is Role.ADMIN:
            return await self._of_all_tenants(days)
        tenant = self.rules.tenant(actor, Action.SPEND_READ, tenant)
        seen = None
        if judge(actor, Action.SPEND_READ, Target(tenant)) is not Verdict.ALLOWED:
            seen = await self._own(actor, by)
        rows = await self.spend.by(tenant, by, days.first, days.last)
        return [row for row in rows if seen is None or row.value in seen]

    async def me(self, actor: Principal) -> Whoami:
        """The actor's key, with its user and tenant where it may see them."""
        accounts = self.rules.accounts
        limits: dict[str, Limits] = {}
        if allowed(actor.role, Action.BUDGET_READ, Relation.OWN_TENANT):
            limits["t"] = (await accounts.tenants.get(actor.tenant)).limits
        if actor.account_user and allowed(actor.role, Action.BUDGET_READ, Relation.OWN_USER):
            limits[f"u:{actor.account_user}"] = (await accounts.users.get(actor.tenant, actor.account_user)).limits
        limits[f"k:{actor.key_id}"] = (await accounts.keys.get(actor.tenant, actor.key_id)).limits
        return Whoami(limits, await self.spend.of_scopes(actor.tenant, list(limits)))

    async def audit(self, actor: Principal, tenant: str, *, after: str = "", limit: int = 100) -> Slice[AuditEntry]:
        """Entries of a tenant, newest first."""
        tenant = self.rules.tenant(actor, Action.AUDIT_READ, tenant)
        self.rules.require(actor, Action.AUDIT_READ, Target(tenant))
        read = await self.rules.accounts.audit.read(tenant, after=after, limit=check_limit(limit) + 1)
        found = list(read[:limit])
        return Slice(found, found[-1].id if len(read) > limit else "")

    async def _own(self, actor: Principal, by: Dimension) -> set[str]:
        if by is Dimension.USER and actor.account_user and allowed(actor.role, Action.SPEND_READ, Relation.OWN_USER):
            return {actor.account_user}
        if by is not Dimension.KEY:
            raise denied(actor, Action.SPEND_READ)
        own, after = {actor.key_id}, ""
        while True:
            page = await self.keys.list(actor, "", after=after, limit=LIMIT_MAX)
            own |= {key.id for key in page.items}
            if not page.next:
                return own
            after = page.next

    async def _of_all_tenants(self, days: Days) -> list[SpendRow]:
        rows: list[SpendRow] = []
        after = ""
        while page := await self.rules.accounts.tenants.list(after=after, limit=PAGE):
            for tenant in page:
                rows += await self.spend.by(tenant.id, Dimension.TENANT, days.first, days.last)
            after = page[-1].id
        return rows


def summed(rows: Sequence[SpendRow]) -> list[SpendRow]:
    """One row per value over all days, dearest first."""
    groups: dict[str, list[SpendRow]] = defaultdict(list)
    for row in rows:
        groups[row.value].append(row)
    sums = [_sum(value, group) for value, group in groups.items()]
    return sorted(sums, key=lambda row: (-row.cost_nanodollars, row.value))


def _sum(value: str, rows: list[SpendRow]) -> SpendRow:
    return SpendRow(
        day="",
        value=value,
        requests=sum(row.requests for row in rows),
        prompt_tokens=sum(row.prompt_tokens for row in rows),
        cached_tokens=sum(row.cached_tokens for row in rows),
        completion_tokens=sum(row.completion_tokens for row in rows),
        cost_nanodollars=sum(row.cost_nanodollars for row in rows),
        platform_nanodollars=sum(row.platform_nanodollars for row in rows),
    )


def _day(text: str, param: str) -> date:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.isoformat() != text:
        message = f"'{param}' must be a day such as 2026-01-31 (UTC)."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param)
    return found
