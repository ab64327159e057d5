"""All of LiteLLM's management routes that work here."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.door import ERRORS, caller_of
from services.gateway.api.litellm.keys import add_keys
from services.gateway.api.litellm.lookups import Lookups
from services.gateway.api.litellm.spend import NoRequestLog, RequestLog, add_spend
from services.gateway.api.litellm.teams import add_teams, add_users
from services.gateway.api.ports import Authenticator


def add_litellm_routes(app: FastAPI, desk: Desk, door: Authenticator, log: RequestLog | None = None) -> None:
    """`/key/*`, `/team/*`, `/user/*`, `/spend/logs` and `/global/spend/report`."""
    who, lookups = caller_of(door), Lookups(desk)
    router = APIRouter(responses=ERRORS, tags=["litellm"], generate_unique_id_function=lambda route: route.name)
    for add in (add_keys, add_teams, add_users):
        add(router, lookups, who)
    add_spend(router, lookups, who, log or NoRequestLog())
    app.include_router(router)
