"""The routes: paths, and which method of the desk each calls."""

from __future__ import annotations

from fastapi import APIRouter, FastAPI

from services.gateway.api.accounts.desk import Desk
from services.gateway.api.accounts.door import ERRORS, caller_of
from services.gateway.api.accounts.routes.budgets import add_budgets
from services.gateway.api.accounts.routes.keys import add_keys
from services.gateway.api.accounts.routes.prices import add_prices
from services.gateway.api.accounts.routes.reports import add_reports
from services.gateway.api.accounts.routes.tenants import add_tenants
from services.gateway.api.accounts.routes.users import add_users
from services.gateway.api.ports import Authenticator


def add_account_routes(app: FastAPI, desk: Desk, door: Authenticator) -> None:
    """`/v1/admin/*` and `/v1/me`."""
    who = caller_of(door)
    router = APIRouter(responses=ERRORS, tags=["accounts"], generate_unique_id_function=lambda route: route.name)
    for add in (add_tenants, add_users, add_keys, add_budgets, add_prices, add_reports):
        add(router, desk, who)
    app.include_router(router)
