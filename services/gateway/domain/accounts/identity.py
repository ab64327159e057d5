"""Whom a key stands for: key, user and tenant together decide, the narrowest of them wins."""

from __future__ import annotations

import hmac as hmac_module
import math
from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import Key, Limits, Role, Tenant, User
from services.gateway.domain.auth import refusal
from services.gateway.domain.turns import Principal

# From the least on: a key never may what its user may not.
_RANKS = (Role.SERVICE, Role.MEMBER, Role.TENANT_ADMIN, Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Identity:
    """A principal, and until when (Unix seconds; infinity = for ever) the presented text stands for it."""

    principal: Principal
    until: float


def identify(hmac: str, key: Key | None, user: User | None, tenant: Tenant | None, now: float) -> Identity:
    """The identity behind a presented key's HMAC at `now` (Unix seconds); raises INVALID_API_KEY.

    `user` is read for keys that have one. Unknown, deleted, expired and superseded keys are told apart by nobody.
    """
    if key is None or tenant is None or (key.user and user is None):
        raise refusal("unknown")
    until = min(_accepted_until(hmac, key), _expires_at(key))
    if now >= until:
        raise refusal("expired")
    _check_blocks(key, user, tenant)
    return Identity(_principal(key, user, tenant), until)


def in_name_of(key: Key | None, user: User | None, tenant: Tenant | None, now: float) -> Identity:
    """The identity that a key stands for at `now` (Unix seconds), without its text; raises INVALID_API_KEY.

    For what its holder has ordered and does not wait for: it may no more than the key itself may now.
    """
    if key is None or tenant is None or (key.user and user is None) or now >= _expires_at(key):
        message = (
            "The API key that ordered this is not valid any more: it was deleted, or it has expired. "
            "Order it again with a valid key."
        )
        raise PlatformError(Reason.INVALID_API_KEY, message, started=False)
    _check_blocks(key, user, tenant)
    return Identity(_principal(key, user, tenant), _expires_at(key))


def _expires_at(key: Key) -> float:
    return math.inf if key.expires_at is None else key.expires_at


def _check_blocks(key: Key, user: User | None, tenant: Tenant) -> None:
    for record, what in ((tenant, "tenant"), (user, "user"), (key, "API key")):
        if record is not None and record.blocked:
            raise _blocked(what)


def allowed_models(*limits: Limits) -> frozenset[str] | None:
    """The models that all limits allow; None = every model."""
    lists = [frozenset(each.models) for each in limits if each.models]
    return frozenset.intersection(*lists) if lists else None


def merged_tags(*metadata: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """Tags, sorted by name; of a name that occurs twice the later one wins."""
    merged: dict[str, str] = {}
    for tags in metadata:
        merged.update(tags)
    return tuple(sorted(merged.items()))


def lesser(role: Role, other: Role) -> Role:
    """The role that may less."""
    return min(role, other, key=_RANKS.index)


def _accepted_until(hmac: str, key: Key) -> float:
    """Compared in constant time, though what was found by its HMAC can hardly differ."""
    if hmac and hmac_module.compare_digest(key.hmac, hmac):
        return math.inf
    if hmac and key.previous_hmac and hmac_module.compare_digest(key.previous_hmac, hmac):
        return key.previous_until
    return -math.inf


def _principal(key: Key, user: User | None, tenant: Tenant) -> Principal:
    records = [record for record in (tenant, user, key) if record is not None]
    return Principal(
        tenant=tenant.id,
        key_id=key.id,
        account_user=key.user,
        role=key.role if user is None else lesser(key.role, user.role),
        models=allowed_models(*(record.limits for record in records)),
        tags=merged_tags(*(record.metadata for record in records)),
        priority=tenant.priority,
        records=tenant.records,
        # Where texts of requests are not to be kept, they are not kept for this, either.
        cached_answers=key.cached_answers and tenant.records.enabled and tenant.records.store_prompts,
    )


def _blocked(what: str) -> PlatformError:
    message = f"The {what} is blocked. Ask an administrator of this installation to unblock it."
    return PlatformError(Reason.INVALID_API_KEY, message, started=False)
