"""The desk: accounts as far as the caller may. REST, gRPC and the LiteLLM routes all go through it.

Each method takes the caller first. It decides by `domain/accounts/access.py` whether the caller may, bounds what it
hands out by `domain/accounts/grants.py`, and leaves the rest to the use cases.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.clock import Clock
from services.gateway.api.accounts.desk.budgets import BudgetDesk
from services.gateway.api.accounts.desk.keys import KeyDesk
from services.gateway.api.accounts.desk.prices import PriceDesk
from services.gateway.api.accounts.desk.reports import ReportDesk
from services.gateway.api.accounts.desk.rules import Rules
from services.gateway.api.accounts.desk.tenants import TenantDesk
from services.gateway.api.accounts.desk.users import UserDesk
from services.gateway.ports.accounts import Spend
from services.gateway.usecases.accounts import Accounts

__all__ = ["Desk", "desk_over"]


@dataclass(frozen=True, slots=True)
class Desk:
    """One desk for all faces."""

    tenants: TenantDesk
    users: UserDesk
    keys: KeyDesk
    budgets: BudgetDesk
    prices: PriceDesk
    reports: ReportDesk
    clock: Clock


def desk_over(accounts: Accounts, spend: Spend, clock: Clock) -> Desk:
    """The desk over the use cases."""
    rules = Rules(accounts)
    tenants, users, keys = TenantDesk(rules), UserDesk(rules), KeyDesk(rules)
    budgets = BudgetDesk(rules, tenants, users, keys, spend)
    return Desk(tenants, users, keys, budgets, PriceDesk(rules), ReportDesk(rules, keys, spend), clock)
