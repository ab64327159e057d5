"""`headrace tenants` and `headrace users`: who pays, and whose keys they are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client.admin import TENANTS, USERS, one
from cli.commands.limits import (
    Budget,
    Duration,
    Parallel,
    RequestBudget,
    Rpm,
    SessionBudget,
    Soft,
    TenantOption,
    Tpm,
    limits_body,
)
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered
from cli.output import print_json
from cli.view.accounts import all_limit_words, moment
from cli.view.table import show_table
from services.gateway.domain.accounts.records import TOTAL, Role

tenants = typer.Typer(help="Tenants, who pay: create, list, block, unblock, delete.", no_args_is_help=True)
users = typer.Typer(help="Users within a tenant: create, list, block, unblock, delete.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="Letters, digits, '.', '_', '-', '@'.")]
Name = Annotated[str, typer.Option(help="For people.")]
RoleOption = Annotated[Role, typer.Option(help="What its keys may be at most; docs/admin-api.md says what.")]


@tenants.command("create")
def create_tenant(
    *,
    tenant_id: Id,
    name: Name = "",
    budget: Budget = None,
    duration: Duration = TOTAL,
    soft: Soft = None,
    session_budget: SessionBudget = None,
    request_budget: RequestBudget = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    parallel: Parallel = None,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a tenant."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        limits = limits_body(
            budget=budget,
            duration=duration,
            soft=soft,
            session_budget=session_budget,
            request_budget=request_budget,
            rpm=rpm,
            tpm=tpm,
            parallel=parallel,
        )
        found = client.send("POST", TENANTS, {"id": tenant_id, "name": name, "limits": limits})
        print_json(found) if as_json else typer.echo(f"created the tenant {found['id']}")


@users.command("create")
def create_user(
    *,
    user_id: Id,
    name: Name = "",
    role: RoleOption = Role.MEMBER,
    budget: Budget = None,
    duration: Duration = TOTAL,
    soft: Soft = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    parallel: Parallel = None,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a user; its keys are made with `headrace keys create --user`."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        limits = limits_body(budget=budget, duration=duration, soft=soft, rpm=rpm, tpm=tpm, parallel=parallel)
        body = {"id": user_id, "tenant": tenant, "name": name, "role": role, "limits": limits}
        found = client.send("POST", USERS, body)
        print_json(found) if as_json else typer.echo(f"created the user {found['id']} of the tenant {found['tenant']}")


@tenants.command("list")
def list_tenants(
    url: Url = None, key: Key = None, config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show the tenants."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        _show("tenants", list(client.pages(TENANTS)), ("id", "name"), as_json=as_json)


@users.command("list")
def list_users(
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the users of a tenant."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = list(client.pages(USERS, tenant=tenant))
        _show("users", found, ("id", "tenant", "name", "role"), as_json=as_json)


def _show(what: str, found: list[dict[str, Any]], columns: tuple[str, ...], *, as_json: bool) -> None:
    if as_json:
        print_json({what: found})
        return
    rows = [
        [
            *(each[column] for column in columns),
            "blocked" if each["blocked"] else "active",
            all_limit_words(each["limits"]),
            moment(each["created_at"]),
        ]
        for each in found
    ]
    show_table((*columns, "state", "limits", "created (UTC)"), rows)


def _add_switches(app: typer.Typer, path: str, done: str) -> None:
    """`block`, `unblock` and `delete` of one kind."""

    @app.command()
    def block(
        name: Id,
        tenant: TenantOption = "",
        url: Url = None,
        key: Key = None,
        config: ConfigFile = None,
        state_dir: StateDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Refuse all calls of it and of what hangs on it, within a second, until `unblock`."""
        with administered(config, state_dir, url, key, as_json=as_json) as client:
            found = client.send("POST", one(path, name, "block"), tenant=tenant)
            print_json(found) if as_json else typer.echo(f"blocked the {done} {name}")

    @app.command()
    def unblock(
        name: Id,
        tenant: TenantOption = "",
        url: Url = None,
        key: Key = None,
        config: ConfigFile = None,
        state_dir: StateDir = None,
        as_json: AsJson = False,
    ) -> None:
        """End a block."""
        with administered(config, state_dir, url, key, as_json=as_json) as client:
            found = client.send("POST", one(path, name, "unblock"), tenant=tenant)
            print_json(found) if as_json else typer.echo(f"unblocked the {done} {name}")

    @app.command()
    def delete(
        name: Id,
        tenant: TenantOption = "",
        url: Url = None,
        key: Key = None,
        config: ConfigFile = None,
        state_dir: StateDir = None,
        as_json: AsJson = False,
    ) -> None:
        """Delete it with all that hangs on it, for good. What was spent stays in the books."""
        with administered(config, state_dir, url, key, as_json=as_json) as client:
            found = client.send("DELETE", one(path, name), tenant=tenant)
            print_json(found) if as_json else typer.echo(f"deleted the {done} {name}")


_add_switches(tenants, TENANTS, "tenant")
_add_switches(users, USERS, "user")
