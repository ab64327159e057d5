"""A request that is right in itself for every route and RPC, aimed at an object."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.common.v1.turns_pb2 import ROLE_USER, Turn
from headrace.gateway.v1 import accounts_pb2 as pb
from headrace.gateway.v1.chat_pb2 import ChatRequest

DAYS = {"start_date": "2023-11-01", "end_date": "2023-11-14"}
PRICE = {"input_usd": "1", "cached_usd": "0.5", "output_usd": "2"}
CHAT = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}


@dataclass(frozen=True)
class Object:
    """What is asked for; "" = not named."""

    tenant: str = ""
    user: str = ""
    key: str = ""


def rest_request(route: str, at: Object) -> tuple[str, str, dict, dict | None]:
    """Method, path, query and body."""
    method, template = route.split(" ")

    path = template.format(tenant=at.tenant, user=at.user, key=at.key, model="small", name="small", request_id=at.key)
    return method, path, _QUERIES.get(template, _query)(at), _body(route, at)


def _query(at: Object) -> dict:
    return {"tenant": at.tenant} if at.tenant else {}


def _owner(at: Object) -> dict:
    return {name: value for name, value in (("tenant", at.tenant), ("key", at.key)) if value}


_QUERIES = {
    "/v1/admin/budgets": lambda at: {**_owner(at), "duration": "30d"},
    "/key/info": lambda at: {"key": at.key},
    "/key/list": lambda at: {"team_id": at.tenant},
    "/team/info": lambda at: {"team_id": at.tenant},
    "/user/info": lambda at: {"user_id": at.user},
    "/global/spend/report": lambda at: {**DAYS, "team_id": at.tenant},
    "/spend/logs": lambda at: {},
}


def _body(route: str, at: Object) -> dict | None:
    bodies = {
        "POST /v1/chat/completions": CHAT,
        "POST /v1/admin/tenants": {"id": "fresh"},
        "PATCH /v1/admin/tenants/{tenant}": {"name": "Renamed"},
        "POST /v1/admin/users": {"id": "fresh", "tenant": at.tenant},
        "PATCH /v1/admin/users/{user}": {"name": "Renamed"},
        "POST /v1/admin/keys": {"name": "fresh", "tenant": at.tenant, "user": at.user},
        "PATCH /v1/admin/keys/{key}": {"name": "renamed"},
        "PUT /v1/admin/budgets": {**_owner(at), "duration": "1h", "limit_usd": "1"},
        "PUT /v1/admin/prices/{model}": PRICE,
        "POST /key/generate": {"team_id": at.tenant, "user_id": at.user},
        "POST /key/update": {"key": at.key, "key_alias": "renamed"},
        "POST /key/regenerate": {"key": at.key},
        "POST /key/block": {"key": at.key},
        "POST /key/unblock": {"key": at.key},
        "POST /key/delete": {"keys": [at.key]},
        "POST /team/new": {"team_id": "fresh"},
        "POST /team/update": {"team_id": at.tenant, "team_alias": "Renamed"},
        "POST /user/new": {"user_id": "fresh", "teams": [at.tenant] if at.tenant else None},
    }
    return bodies.get(route)


def rpc_request(name: str, at: Object):
    """The message of an RPC, "AccountService/GetKey" and the like."""
    method = name.split("/")[1]
    if method == "Chat":
        return ChatRequest(model="small", messages=[Turn(role=ROLE_USER, text="hi")])
    request = getattr(pb, f"{method}Request")
    named = request.DESCRIPTOR.fields_by_name
    told = dict(_RPC_FIELDS.get(method, {}))
    if "owner" in named:
        told["owner"] = pb.BudgetOwner(tenant=at.tenant, key=at.key)
    if "tenant" in named:
        told["tenant"] = at.tenant
    if "user" in named:
        told["user"] = at.user
    if "id" in named and "id" not in told:
        told["id"] = at.key or at.user or at.tenant
    return request(**told)


_RPC_FIELDS = {
    "CreateTenant": {"id": "fresh"},
    "CreateUser": {"id": "fresh"},
    "UpdateTenant": {"name": "Renamed"},
    "UpdateUser": {"name": "Renamed"},
    "UpdateKey": {"name": "renamed"},
    "SetBudget": {"budget": pb.Budget(duration="1h", limit_nanodollars=1)},
    "ClearBudget": {"duration": "30d"},
    "SetPrice": {"price": pb.Price(model="small", input_nanodollars=1)},
    "DeletePrice": {"model": "small"},
}
