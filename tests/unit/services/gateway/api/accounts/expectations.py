"""Who may do what on every route and RPC, written down by hand and independently of `domain/accounts/access.py`.

A row says for one object what the callers get, in this order: service, member, tenant admin, admin.
A = done, C = 409, D = 403, H = 404, "-" = the caller has no such object.

Objects, as the caller sees them: `own` key, user or tenant; `sibling` = another key of the own user; `peer` = somebody
else's in the own tenant; `above` = of an admin in the own tenant; `foreign` = in another tenant; `none` = no object.
"""

from __future__ import annotations

OPEN = "open to everybody, without a key"
CALLERS = ("service", "member", "tenant_admin", "admin")

_ALL = {"none": "AAAA"}
_ADMIN_ONLY = {"none": "DDDA"}
_TENANT = {"own": "DDDA", "foreign": "HHHA"}
_TENANT_STOP = {"own": "DDDC", "foreign": "HHHA"}
_TENANT_READ = {"own": "DDAA", "foreign": "HHHA"}
_USER_READ = {"own": "-AA-", "peer": "HHAA", "above": "HHAA", "foreign": "HHHA"}
_USER = {"own": "-DA-", "peer": "HHAA", "above": "HHDA", "foreign": "HHHA"}
_KEY_READ = {"own": "AAAA", "sibling": "-AA-", "peer": "HHAA", "above": "HHAA", "foreign": "HHHA"}
_KEY = {"own": "DAAA", "sibling": "-AA-", "peer": "HHAA", "above": "HHDA", "foreign": "HHHA"}
_KEY_FROM_ABOVE = {"own": "DDAA", "sibling": "-DA-", "peer": "HHAA", "above": "HHDA", "foreign": "HHHA"}
_LIST = {"own": "AAAA", "foreign": "HHHA"}
_LIST_OF_TENANT = {"own": "DDAA", "foreign": "HHHA"}
_SUMS = {"own": "DDAA", "foreign": "HHHA"}
_MAKE_KEY = {"none": "DAAA", "own": "-AA-", "peer": "HHAA", "above": "HHDA", "foreign": "HHHA"}

REST: dict[str, dict[str, str] | str] = {
    "GET /healthz": OPEN,
    "GET /readyz": OPEN,
    "GET /metrics": OPEN,
    "GET /v1/models": _ALL,
    "GET /v1/models/{name}": _ALL,
    "POST /v1/chat/completions": _ALL,
    "GET /v1/me": _ALL,
    "GET /v1/requests": _LIST,
    "GET /v1/requests/{request_id}": _KEY_READ,
    "POST /v1/admin/tenants": _ADMIN_ONLY,
    "GET /v1/admin/tenants": _ALL,
    "GET /v1/admin/tenants/{tenant}": _TENANT_READ,
    "PATCH /v1/admin/tenants/{tenant}": _TENANT,
    "POST /v1/admin/tenants/{tenant}/block": _TENANT_STOP,
    "POST /v1/admin/tenants/{tenant}/unblock": _TENANT,
    "DELETE /v1/admin/tenants/{tenant}": _TENANT_STOP,
    "POST /v1/admin/users": _LIST_OF_TENANT,
    "GET /v1/admin/users": _LIST,
    "GET /v1/admin/users/{user}": _USER_READ,
    "PATCH /v1/admin/users/{user}": _USER,
    "POST /v1/admin/users/{user}/block": _USER,
    "POST /v1/admin/users/{user}/unblock": _USER,
    "DELETE /v1/admin/users/{user}": _USER,
    "POST /v1/admin/keys": _MAKE_KEY,
    "GET /v1/admin/keys": _LIST,
    "GET /v1/admin/keys/{key}": _KEY_READ,
    "PATCH /v1/admin/keys/{key}": _KEY_FROM_ABOVE,
    "POST /v1/admin/keys/{key}/rotate": _KEY,
    "POST /v1/admin/keys/{key}/block": _KEY,
    "POST /v1/admin/keys/{key}/unblock": _KEY_FROM_ABOVE,
    "DELETE /v1/admin/keys/{key}": _KEY,
    "GET /v1/admin/budgets": {**_KEY_READ, "tenant": "DDAA", "foreign tenant": "HHHA"},
    "PUT /v1/admin/budgets": {**_KEY_FROM_ABOVE, "tenant": "DDDA", "foreign tenant": "HHHA"},
    "DELETE /v1/admin/budgets": {**_KEY_FROM_ABOVE, "tenant": "DDDA", "foreign tenant": "HHHA"},
    "GET /v1/admin/prices": _ALL,
    "PUT /v1/admin/prices/{model}": _ADMIN_ONLY,
    "DELETE /v1/admin/prices/{model}": _ADMIN_ONLY,
    "GET /v1/admin/usage": _SUMS,
    "GET /v1/admin/spend": _SUMS,
    "GET /v1/admin/audit": _SUMS,
    "POST /key/generate": _MAKE_KEY,
    "GET /key/info": _KEY_READ,
    "GET /key/list": _LIST,
    "POST /key/update": _KEY_FROM_ABOVE,
    "POST /key/regenerate": _KEY,
    "POST /key/{key}/regenerate": _KEY,
    "POST /key/block": _KEY,
    "POST /key/unblock": _KEY_FROM_ABOVE,
    "POST /key/delete": _KEY,
    "POST /team/new": _ADMIN_ONLY,
    "GET /team/info": _TENANT_READ,
    "GET /team/list": _ALL,
    "POST /team/update": {"own": "DDDA", "foreign": "HHHA"},
    "POST /user/new": _LIST_OF_TENANT,
    "GET /user/info": _USER_READ,
    "GET /spend/logs": _ALL,
    "GET /global/spend/report": _SUMS,
}

RPCS: dict[str, dict[str, str]] = {
    "ChatService/Chat": _ALL,
    "AccountService/WhoAmI": _ALL,
    "AccountService/CreateTenant": _ADMIN_ONLY,
    "AccountService/GetTenant": _TENANT_READ,
    "AccountService/ListTenants": _ALL,
    "AccountService/UpdateTenant": _TENANT,
    "AccountService/BlockTenant": _TENANT_STOP,
    "AccountService/UnblockTenant": _TENANT,
    "AccountService/DeleteTenant": _TENANT_STOP,
    "AccountService/CreateUser": _LIST_OF_TENANT,
    "AccountService/GetUser": _USER_READ,
    "AccountService/ListUsers": _LIST,
    "AccountService/UpdateUser": _USER,
    "AccountService/BlockUser": _USER,
    "AccountService/UnblockUser": _USER,
    "AccountService/DeleteUser": _USER,
    "AccountService/CreateKey": _MAKE_KEY,
    "AccountService/GetKey": _KEY_READ,
    "AccountService/ListKeys": _LIST,
    "AccountService/UpdateKey": _KEY_FROM_ABOVE,
    "AccountService/RotateKey": _KEY,
    "AccountService/BlockKey": _KEY,
    "AccountService/UnblockKey": _KEY_FROM_ABOVE,
    "AccountService/DeleteKey": _KEY,
    "AccountService/GetBudgets": {**_KEY_READ, "tenant": "DDAA", "foreign tenant": "HHHA"},
    "AccountService/SetBudget": {**_KEY_FROM_ABOVE, "tenant": "DDDA", "foreign tenant": "HHHA"},
    "AccountService/ClearBudget": {**_KEY_FROM_ABOVE, "tenant": "DDDA", "foreign tenant": "HHHA"},
    "AccountService/ListPrices": _ALL,
    "AccountService/SetPrice": _ADMIN_ONLY,
    "AccountService/DeletePrice": _ADMIN_ONLY,
    "AccountService/GetUsage": _SUMS,
    "AccountService/GetSpend": _SUMS,
    "AccountService/ListAuditEntries": _SUMS,
}
