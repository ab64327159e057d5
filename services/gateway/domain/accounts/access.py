"""Who may do what to whose account: one table, one function. Pure.

What the caller may not see does not exist for it (404), so that nobody learns of other people's objects. What is its
own and still not allowed is refused (403).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from services.gateway.domain.accounts.records import PLATFORM, Role
from services.gateway.domain.turns import Principal


class Action(StrEnum):
    """What can be done to accounts."""

    TENANT_CREATE = "tenant.create"
    TENANT_READ = "tenant.read"
    TENANT_UPDATE = "tenant.update"
    TENANT_BLOCK = "tenant.block"
    TENANT_UNBLOCK = "tenant.unblock"
    TENANT_DELETE = "tenant.delete"
    USER_CREATE = "user.create"
    USER_READ = "user.read"
    USER_UPDATE = "user.update"
    USER_BLOCK = "user.block"
    USER_UNBLOCK = "user.unblock"
    USER_DELETE = "user.delete"
    KEY_CREATE = "key.create"
    KEY_READ = "key.read"
    KEY_UPDATE = "key.update"
    KEY_ROTATE = "key.rotate"
    KEY_BLOCK = "key.block"
    KEY_UNBLOCK = "key.unblock"
    KEY_DELETE = "key.delete"
    BUDGET_READ = "budget.read"
    BUDGET_SET = "budget.set"
    SPEND_READ = "spend.read"
    REQUEST_READ = "request.read"
    AUDIT_READ = "audit.read"
    PRICE_READ = "price.read"
    PRICE_SET = "price.set"


class Relation(StrEnum):
    """How an object stands to the caller, from the nearest on."""

    OWN_KEY = "own key"
    OWN_USER = "own user"
    OWN_TENANT = "own tenant"
    FOREIGN = "foreign tenant"
    PLATFORM = "platform"


class Verdict(StrEnum):
    """HIDDEN is 404, DENIED is 403."""

    ALLOWED = "allowed"
    HIDDEN = "hidden"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Target:
    """What is acted on: a key, else a user, else a tenant; PLATFORM as tenant for what belongs to none.

    For what is to be made it names where: a key's user, or the tenant. `role` is that of an existing user or key.
    """

    tenant: str
    user: str = ""
    key: str = ""
    role: Role | None = None


EVERYWHERE = frozenset(Relation)
_TENANT = frozenset({Relation.OWN_KEY, Relation.OWN_USER, Relation.OWN_TENANT})
_USER = frozenset({Relation.OWN_KEY, Relation.OWN_USER})
_KEY = frozenset({Relation.OWN_KEY})
_PLATFORM = frozenset({Relation.PLATFORM})
_A = Action

# Beside admins, who may do everything everywhere. What is not named is not allowed.
TABLE: Mapping[Role, Mapping[Action, frozenset[Relation]]] = {
    Role.ADMIN: dict.fromkeys(Action, EVERYWHERE),
    # Its tenant's users and keys; not the tenant itself, whose limits are set from above.
    Role.TENANT_ADMIN: {
        _A.TENANT_READ: _TENANT,
        **dict.fromkeys(
            (_A.USER_CREATE, _A.USER_READ, _A.USER_UPDATE, _A.USER_BLOCK, _A.USER_UNBLOCK, _A.USER_DELETE), _TENANT
        ),
        **dict.fromkeys((_A.KEY_CREATE, _A.KEY_READ, _A.KEY_UPDATE, _A.KEY_ROTATE), _TENANT),
        **dict.fromkeys((_A.KEY_BLOCK, _A.KEY_UNBLOCK, _A.KEY_DELETE), _TENANT),
        **dict.fromkeys((_A.BUDGET_READ, _A.BUDGET_SET, _A.SPEND_READ, _A.AUDIT_READ), _TENANT),
        _A.REQUEST_READ: _TENANT,
        _A.PRICE_READ: _PLATFORM,
    },
    # Its user's keys. No unblocking and no update: what somebody above has set stays set.
    Role.MEMBER: {
        _A.USER_READ: _USER,
        **dict.fromkeys((_A.KEY_CREATE, _A.KEY_READ, _A.KEY_ROTATE, _A.KEY_BLOCK, _A.KEY_DELETE), _USER),
        **dict.fromkeys((_A.BUDGET_READ, _A.SPEND_READ, _A.REQUEST_READ), _USER),
        _A.PRICE_READ: _PLATFORM,
    },
    # Calls models, and sees what became of that and what it costs.
    Role.SERVICE: {
        **dict.fromkeys((_A.KEY_READ, _A.BUDGET_READ, _A.SPEND_READ, _A.REQUEST_READ), _KEY),
        _A.PRICE_READ: _PLATFORM,
    },
}

# Who may hand out which roles, and act on those that have them.
RANK: Mapping[Role, int] = {Role.SERVICE: 0, Role.MEMBER: 1, Role.TENANT_ADMIN: 2, Role.ADMIN: 3}
_READS = {"tenant": _A.TENANT_READ, "user": _A.USER_READ, "key": _A.KEY_READ}
_CHANGES_NOTHING = frozenset(action for action in Action if action.endswith(".read"))
# Limits of a tenant bound its admins too.
_NEVER_ON_OWN_TENANT = frozenset({_A.BUDGET_SET})


def relation(actor: Principal, target: Target) -> Relation:
    """How the target stands to the actor. A key is the actor's own or its user's; else only the tenant counts."""
    if target.tenant == PLATFORM:
        return Relation.PLATFORM
    if target.tenant != actor.tenant:
        return Relation.FOREIGN
    if target.key and target.key == actor.key_id:
        return Relation.OWN_KEY
    if target.user and target.user == actor.account_user:
        return Relation.OWN_USER
    return Relation.OWN_TENANT


def allowed(role: Role, action: Action, standing: Relation) -> bool:
    """Whether the table says so."""
    return standing in TABLE[role].get(action, frozenset())


def judge(actor: Principal, action: Action, target: Target) -> Verdict:
    """Whether the actor may do that to that target, and if not, whether it may know of it."""
    standing = relation(actor, target)
    if allowed(actor.role, action, standing) and not _overreaches(actor, action, target):
        return Verdict.ALLOWED
    return Verdict.DENIED if _may_know(actor, target, standing) else Verdict.HIDDEN


def may_grant(actor: Principal, role: Role) -> bool:
    """Whether the actor may give somebody that role: never one above its own."""
    return RANK[role] <= RANK[actor.role]


def _overreaches(actor: Principal, action: Action, target: Target) -> bool:
    """Acting on somebody of a higher role is a way to get it: a rotated key's text goes to who rotates it."""
    if action in _CHANGES_NOTHING or actor.role is Role.ADMIN:
        return False
    if target.role is not None and not may_grant(actor, target.role):
        return True
    return action in _NEVER_ON_OWN_TENANT and not target.user and not target.key


def _may_know(actor: Principal, target: Target, standing: Relation) -> bool:
    if standing is Relation.PLATFORM:
        return True
    kind = "key" if target.key else "user" if target.user else "tenant"
    return _is_itself(actor, target, kind) or allowed(actor.role, _READS[kind], standing)


def _is_itself(actor: Principal, target: Target, kind: str) -> bool:
    if target.tenant != actor.tenant:
        return False
    if kind == "key":
        return target.key == actor.key_id
    return kind == "tenant" or target.user == actor.account_user
