"""`headrace budgets`: ceilings of tenants, users and keys, and where they stand."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client.admin import BUDGETS
from cli.commands.limits import Duration, Soft, TenantOption, budget_body
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered
from cli.errors import CliError
from cli.output import print_json
from cli.view.accounts import BUDGET_COLUMNS, BUDGET_NUMBERS, budget_rows, usd
from cli.view.table import show_table
from services.gateway.domain.accounts.records import TOTAL

budgets = typer.Typer(help="Ceilings in dollars: show, set, clear.", no_args_is_help=True)

Owner = Annotated[
    str, typer.Argument(help="tenant, tenant:ID, user:ID or key:ID. (default: the tenant of the key in use)")
]
Limit = Annotated[str, typer.Argument(help="Dollars, such as 12.5.")]
_OWNERS = ("tenant", "user", "key")


@budgets.command()
def show(
    owner: Owner = "tenant",
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the budgets of a tenant, a user or a key: what is spent, held and left."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        _shown(client.get(BUDGETS, **_owner(owner, tenant)), as_json=as_json)


@budgets.command("set")
def set_one(
    owner: Owner,
    limit: Limit,
    duration: Duration = TOTAL,
    soft: Soft = None,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Set the budget of one duration; others stay, and so does what was spent in its window."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        body = _owner(owner, tenant) | budget_body(limit, duration, soft)
        _shown(client.send("PUT", BUDGETS, body), as_json=as_json)


@budgets.command()
def clear(
    owner: Owner,
    duration: Duration = TOTAL,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Take the budget of one duration away."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.send("DELETE", BUDGETS, duration=duration, **_owner(owner, tenant))
        _shown(found, as_json=as_json)


def _owner(owner: str, tenant: str) -> dict[str, str]:
    """Whose budgets they are, as the admin API names it. Raises CliError."""
    kind, colon, name = owner.partition(":")
    if kind not in _OWNERS or bool(colon) != bool(name) or (not name and kind != "tenant"):
        raise CliError(f"{owner!r} names nobody", "write tenant, tenant:ID, user:ID or key:ID", code=2)
    if kind == "tenant":
        if name and tenant and name != tenant:
            raise CliError(f"two tenants are named: {name} and {tenant}", "leave --tenant out", code=2)
        return {"tenant": name or tenant}
    return {"tenant": tenant, kind: name}


def _shown(found: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    whose = " ".join(f"{kind} {found[kind]}" for kind in reversed(_OWNERS) if found[kind])
    state = found["state"]
    if state:
        whose += f": {usd(state['settled_usd'])} spent, {usd(state['held_usd'])} held by {state['running']} running"
    typer.echo(whose)
    if rows := budget_rows(found):
        show_table(BUDGET_COLUMNS, rows, right=BUDGET_NUMBERS)
    else:
        typer.echo("no budget is set here; those of the levels above count")
