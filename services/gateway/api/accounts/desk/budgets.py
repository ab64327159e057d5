"""Budgets, as far as the actor may, and where they stand."""

from __future__ import annotations

from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.desk.keys import KeyDesk
from services.gateway.api.accounts.desk.rules import Rules
from services.gateway.api.accounts.desk.tenants import TenantDesk
from services.gateway.api.accounts.desk.users import UserDesk
from services.gateway.domain.accounts.access import Action, Target
from services.gateway.domain.accounts.durations import DurationError, seconds_of
from services.gateway.domain.accounts.records import Budget, Key, Tenant, User
from services.gateway.domain.accounts.spend import ScopeSpend
from services.gateway.domain.ledger.limits import scope_name
from services.gateway.domain.turns import Principal
from services.gateway.ports.accounts import Spend
from services.gateway.usecases.accounts import Owner
from services.gateway.usecases.accounts.changes import tenant_of


@dataclass(frozen=True, slots=True)
class BudgetView:
    """Budgets as they are set; `state` None where the ledger knows nothing of the scope."""

    owner: Owner
    budgets: tuple[Budget, ...]
    state: ScopeSpend | None


@dataclass(frozen=True, slots=True)
class BudgetDesk:
    """As TenantDesk. An owner is a key, else a user, else a tenant ("" = the actor's)."""

    rules: Rules
    tenants: TenantDesk
    users: UserDesk
    keys: KeyDesk
    spend: Spend

    async def get(self, actor: Principal, target: Target) -> BudgetView:
        """The owner's budgets now."""
        record = await self._owner(actor, Action.BUDGET_READ, target)
        return await self._view(record, record.limits.budgets)

    async def set(self, actor: Principal, target: Target, budget: Budget) -> BudgetView:
        """See Budgets.set."""
        record = await self._owner(actor, Action.BUDGET_SET, target)
        grant = await self.rules.grant(actor, _user_of(record))
        grant.budget(budget, record.limits)
        return await self._view(record, await self.rules.accounts.budgets.set(_owner(record), budget, actor))

    async def clear(self, actor: Principal, target: Target, duration: str) -> BudgetView:
        """As Budgets.clear, but where there is none all is well: a repeat does no harm."""
        _check_duration(duration)
        record = await self._owner(actor, Action.BUDGET_SET, target)
        grant = await self.rules.grant(actor, _user_of(record))
        grant.clear(duration)
        left = record.limits.budgets
        if any(budget.duration == duration for budget in left):
            left = await self.rules.accounts.budgets.clear(_owner(record), duration, actor)
        return await self._view(record, left)

    async def _owner(self, actor: Principal, action: Action, target: Target) -> Tenant | User | Key:
        if target.key:
            return await self.keys.find(actor, action, target.tenant, target.key)
        if target.user:
            return await self.users.find(actor, action, target.tenant, target.user)
        return await self.tenants.find(actor, action, target.tenant)

    async def _view(self, record: Tenant | User | Key, budgets: tuple[Budget, ...]) -> BudgetView:
        found = await self.spend.of_scopes(tenant_of(record), [scope_name(record)])
        return BudgetView(_owner(record), budgets, found[0] if found else None)


def _check_duration(duration: str) -> None:
    try:
        seconds_of(duration)
    except DurationError as problem:
        raise PlatformError(Reason.INVALID_REQUEST, f"{problem}.", started=False, param="duration") from None


def _owner(record: Tenant | User | Key) -> Owner:
    return Owner(type(record), tenant_of(record), record.id)


def _user_of(record: Tenant | User | Key) -> str | None:
    return record.user if isinstance(record, Key) else None
