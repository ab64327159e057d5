"""`/v1/admin/budgets`: of a key, else a user, else a tenant; without any of them of the caller's tenant."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from services.gateway.api.accounts.answers import BudgetOut, BudgetsOut, ScopeOut
from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.desk.budgets import BudgetView
from services.gateway.api.accounts.requests import BudgetSet
from services.gateway.domain.accounts.access import Target
from services.gateway.domain.accounts.records import TOTAL, Key, User
from services.gateway.domain.turns import Principal

_PATH = "/v1/admin/budgets"


def add_budgets(router: APIRouter, desk: Desk, who: Any) -> None:
    """Adds them."""
    budgets = desk.budgets

    @router.get(_PATH)
    async def get_budgets(tenant: str = "", user: str = "", key: str = "", caller: Principal = who) -> BudgetsOut:
        """Budgets as they are set, what is spent and held, and when each begins anew."""
        return _out(await budgets.get(caller, Target(tenant, user, key)))

    @router.put(_PATH)
    async def set_budget(budget: BudgetSet, caller: Principal = who) -> BudgetsOut:
        """Sets the budget of one duration. What was spent in its window stays spent."""
        target = Target(budget.tenant, budget.user, budget.key)
        return _out(await budgets.set(caller, target, budget.budget()))

    @router.delete(_PATH)
    async def clear_budget(
        tenant: str = "", user: str = "", key: str = "", duration: str = TOTAL, caller: Principal = who
    ) -> BudgetsOut:
        """Takes the budget of one duration away. A repeat does no harm."""
        return _out(await budgets.clear(caller, Target(tenant, user, key), duration))


def _out(view: BudgetView) -> BudgetsOut:
    owner = view.owner
    return BudgetsOut(
        tenant=owner.tenant,
        user=owner.id if owner.kind is User else None,
        key=owner.id if owner.kind is Key else None,
        budgets=[BudgetOut.of(budget) for budget in view.budgets],
        state=ScopeOut.of(view.state, view.budgets) if view.state else None,
    )
