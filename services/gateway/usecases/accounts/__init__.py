"""What can be done with accounts: one object per kind of record, the same for REST, gRPC and the command line.

Every use case that changes something takes the `actor`, stores one `Change` (or several), and has it audited. What a
caller may do is decided before (`domain/accounts/access.py`); what a value may be is decided here.
"""

from __future__ import annotations

from dataclasses import dataclass

from libs.clock import Clock
from services.gateway.domain.accounts.specs import KeySpec, LimitsSpec, TenantSpec, UserSpec
from services.gateway.ports.accounts import AccountStore, AuditLog, KeyDirectory
from services.gateway.usecases.accounts.budgets import Budgets, Owner
from services.gateway.usecases.accounts.changes import Changes
from services.gateway.usecases.accounts.keys import Keys, KeySecrets
from services.gateway.usecases.accounts.prices import Prices
from services.gateway.usecases.accounts.tenants import Tenants
from services.gateway.usecases.accounts.users import Users

__all__ = [
    "Accounts",
    "Budgets",
    "KeySecrets",
    "KeySpec",
    "Keys",
    "LimitsSpec",
    "Owner",
    "Prices",
    "TenantSpec",
    "Tenants",
    "UserSpec",
    "Users",
    "accounts_over",
]


@dataclass(frozen=True, slots=True)
class Accounts:
    """All use cases on accounts. `audit.read` is the log of every change."""

    tenants: Tenants
    users: Users
    keys: Keys
    budgets: Budgets
    prices: Prices
    audit: AuditLog


def accounts_over(
    store: AccountStore, audit: AuditLog, directory: KeyDirectory, clock: Clock, secrets: KeySecrets
) -> Accounts:
    """The use cases over a store (one adapter is usually all three ports)."""
    changes = Changes(store, clock)
    return Accounts(
        Tenants(store, changes, clock),
        Users(store, changes, clock),
        Keys(store, directory, changes, clock, secrets),
        Budgets(changes, clock),
        Prices(store, changes),
        audit,
    )
