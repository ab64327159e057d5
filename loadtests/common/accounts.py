"""Tenants and keys for a measurement, made through the admin routes as an operator would."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import dataclass
from typing import Any, Literal

from libs.money import to_dollars

Level = Literal["tenant", "user", "key"]
LEVELS: tuple[Level, ...] = ("tenant", "user", "key")


@dataclass(frozen=True)
class Account:
    """A key of a tenant of its own. `scope` is the ledger's name of the scope that has the budget."""

    tenant: str
    key: str
    secret: str
    scope: str


def admin(url: str, secret: str, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """One call of the admin API at `url`. Raises urllib's HTTPError."""
    request = urllib.request.Request(
        url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"authorization": f"Bearer {secret}", "content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return dict(json.loads(answer.read()))


def new_account(
    url: str,
    secret: str,
    tenant: str,
    *,
    limits: dict[Level, dict[str, Any]],
    budget_at: Level = "tenant",
    keep_records: bool = True,
) -> Account:
    """Tenant, user and key with these limits (fields of the admin API), made by the admin key `secret`."""
    create = ("POST", "/v1/admin/tenants"), ("POST", "/v1/admin/users"), ("POST", "/v1/admin/keys")
    records = {"enabled": keep_records}
    admin(url, secret, *create[0], {"id": tenant, "limits": limits.get("tenant", {}), "records": records})
    admin(url, secret, *create[1], {"id": "ada", "tenant": tenant, "limits": limits.get("user", {})})
    made = admin(url, secret, *create[2], {"tenant": tenant, "user": "ada", "limits": limits.get("key", {})})
    key = str(made["key"]["id"])
    scope = {"tenant": "t", "user": "u:ada", "key": f"k:{key}"}[budget_at]
    return Account(tenant, key, str(made["secret"]), scope)


def total(nanodollars: int, duration: str = "total") -> dict[str, Any]:
    """Limits with one budget."""
    return {"budgets": [{"duration": duration, "limit_usd": to_dollars(nanodollars)}]}
