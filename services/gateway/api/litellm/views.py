"""Records as LiteLLM's proxy shows them. What it has and this gateway has not is there and empty."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.gateway.api.litellm.amounts import iso, number
from services.gateway.domain.accounts.records import TOTAL, Budget, Key, Limits, Role, Tenant, User
from services.gateway.domain.accounts.spend import ScopeSpend

Json = dict[str, Any]
_USER_ROLES = {
    Role.ADMIN: "proxy_admin",
    Role.TENANT_ADMIN: "org_admin",
    Role.MEMBER: "internal_user",
    Role.SERVICE: "internal_user_viewer",
}


def key_view(key: Key, spend: ScopeSpend | None, now: float) -> Json:
    """A row of LiteLLM's table of keys. `token` is the key's id; the text's last characters are in `key_name`."""
    return {
        "token": key.id,
        "key_name": f"sk-...{key.hint}",
        "key_alias": key.name or None,
        "expires": iso(key.expires_at),
        "user_id": key.user or None,
        "team_id": key.tenant,
        "blocked": key.blocked,
        "status": _status(key, now),
        "metadata": key.metadata,
        "created_at": iso(key.created_at),
        "aliases": {},
        "config": {},
        "permissions": {},
        "org_id": None,
        **_limits(key.limits, spend),
    }


def made_view(key: Key, text: str, spend: ScopeSpend | None, now: float) -> Json:
    """A fresh key: `key` is its text."""
    return {**key_view(key, spend, now), "key": text, "token_id": key.id}


def team_view(tenant: Tenant, users: Iterable[User], spend: ScopeSpend | None) -> Json:
    """A row of LiteLLM's table of teams."""
    members = list(users)
    admins = [user.id for user in members if user.role in {Role.ADMIN, Role.TENANT_ADMIN}]
    return {
        "team_id": tenant.id,
        "team_alias": tenant.name or None,
        "organization_id": None,
        "blocked": tenant.blocked,
        "metadata": tenant.metadata,
        "admins": admins,
        "members": [user.id for user in members],
        "members_with_roles": [
            {"user_id": user.id, "user_email": None, "role": "admin" if user.id in admins else "user"}
            for user in members
        ],
        "created_at": iso(tenant.created_at),
        **_limits(tenant.limits, spend),
    }


def user_view(user: User, spend: ScopeSpend | None) -> Json:
    """A row of LiteLLM's table of users."""
    return {
        "user_id": user.id,
        "user_alias": user.name or None,
        "user_email": user.name if "@" in user.name else None,
        "user_role": _USER_ROLES[user.role],
        "teams": [user.tenant],
        "team_id": user.tenant,
        "blocked": user.blocked,
        "metadata": user.metadata,
        "created_at": iso(user.created_at),
        **_limits(user.limits, spend),
    }


def _limits(limits: Limits, spend: ScopeSpend | None) -> Json:
    """LiteLLM has one budget, and maybe windows beside it: the first here, and the others."""
    main, *windows = limits.budgets or (None,)
    states = {state.duration: state for state in spend.budgets} if spend else {}
    state = states.get(main.duration) if main else None
    settled = state.settled_nanodollars if state else spend.settled_nanodollars if spend else 0
    resets_at = state.resets_at if state else None
    return {
        "spend": number(settled),
        "max_budget": number(main.limit_nanodollars) if main else None,
        "soft_budget": number(main.soft_nanodollars) if main and main.soft_nanodollars is not None else None,
        "budget_duration": main.duration if main and main.duration != TOTAL else None,
        "budget_reset_at": iso(resets_at),
        "budget_limits": [_window(window) for window in windows if window] or None,
        "models": list(limits.models),
        "rpm_limit": limits.requests_per_minute,
        "tpm_limit": limits.tokens_per_minute,
        "max_parallel_requests": limits.parallel_requests,
        "model_max_budget": {},
        "model_spend": {},
        "litellm_budget_table": None,
    }


def _window(budget: Budget) -> Json:
    return {"budget_duration": budget.duration, "max_budget": number(budget.limit_nanodollars)}


def _status(key: Key, now: float) -> str:
    if key.blocked:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= now else "active"
