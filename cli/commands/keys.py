"""`headrace keys`: API keys of the platform that runs. A change counts everywhere within a second."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from cli.client.admin import BUDGETS, KEYS, ME, AdminClient, one
from cli.commands.limits import (
    Budget,
    Duration,
    Models,
    Parallel,
    RequestBudget,
    Rpm,
    SessionBudget,
    Soft,
    Tags,
    TenantOption,
    Tpm,
    limits_body,
    seconds,
    tags_of,
)
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered, kept_key
from cli.errors import CliError
from cli.install import write_private
from cli.output import print_json
from cli.view.accounts import (
    BUDGET_COLUMNS,
    BUDGET_NUMBERS,
    all_limit_words,
    budget_rows,
    key_state,
    limit_words,
    moment,
    tag_words,
    usd,
)
from cli.view.table import show_facts, show_table
from services.gateway.domain.accounts.records import TOTAL, Role

keys = typer.Typer(help="API keys: create, list, info, rotate, block, unblock, revoke.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="Id from `headrace keys list`.")]
User = Annotated[str, typer.Option(help="Whose it is, within the tenant.")]
Name = Annotated[str, typer.Option(help="What the key is for.")]
RoleOption = Annotated[Role, typer.Option(help="What it may do beside calling models; docs/admin-api.md says what.")]
Expires = Annotated[str | None, typer.Option(help="How long it is valid: 24h, 30d. (default: for ever)")]
Grace = Annotated[str | None, typer.Option(help="How long the old text is accepted, too: 30m, 24h. (default: not)")]
CachedAnswers = Annotated[
    bool, typer.Option("--cached-answers", help="Take a stored answer to the same request where no worker can answer.")
]
Force = Annotated[bool, typer.Option("--force", help="Do it to the very key that is in use.")]


@keys.command()
def create(
    *,
    tenant: TenantOption = "",
    user: User = "",
    name: Name = "",
    role: RoleOption = Role.SERVICE,
    expires: Expires = None,
    cached_answers: CachedAnswers = False,
    budget: Budget = None,
    duration: Duration = TOTAL,
    soft: Soft = None,
    session_budget: SessionBudget = None,
    request_budget: RequestBudget = None,
    rpm: Rpm = None,
    tpm: Tpm = None,
    parallel: Parallel = None,
    models: Models = None,
    tags: Tags = None,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it is stored as an HMAC and cannot be shown again."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        body: dict[str, Any] = {"tenant": tenant, "user": user, "name": name, "role": role, "metadata": tags_of(tags)}
        body["limits"] = limits_body(
            budget=budget,
            duration=duration,
            soft=soft,
            session_budget=session_budget,
            request_budget=request_budget,
            rpm=rpm,
            tpm=tpm,
            parallel=parallel,
            models=models,
        )
        if expires is not None:
            body["expires_at"] = time.time() + seconds(expires, "--expires")
        if cached_answers:
            body["cached_answers"] = True
        _show_once(client.send("POST", KEYS, body), as_json=as_json)


@keys.command("list")
def list_all(
    tenant: TenantOption = "",
    user: User = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show the keys of a tenant, without their secrets."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = list(client.pages(KEYS, tenant=tenant, user=user))
        if as_json:
            print_json({"keys": found})
            return
        now = time.time()
        columns = (
            "id",
            "tenant",
            "user",
            "name",
            "ends in",
            "role",
            "state",
            "limits",
            "created (UTC)",
            "expires (UTC)",
        )
        show_table(columns, [_row(each, now) for each in found])


@keys.command()
def info(
    key_id: KeyId,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show one key: what it may do, and where its budgets stand."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.get(one(KEYS, key_id), tenant=tenant)
        budgets = client.get(BUDGETS, tenant=found["tenant"], key=found["id"])
        if as_json:
            print_json(found | {"budgets": budgets["budgets"], "spend": budgets["state"]})
            return
        show_facts(_facts(found, budgets["state"]))
        if rows := budget_rows(budgets):
            typer.echo()
            show_table(BUDGET_COLUMNS, rows, right=BUDGET_NUMBERS)


@keys.command()
def rotate(
    key_id: KeyId,
    grace: Grace = None,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Give a key another text and print it; its limits, its spend and its id stay.

    Where it is the one in `.headrace/admin.key`, that file gets the text, too.
    """
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        body = {"grace_seconds": seconds(grace, "--grace") if grace else 0}
        kept = kept_key(config, state_dir, key) if client.get(ME)["key"] == key_id else None
        made = client.send("POST", one(KEYS, key_id, "rotate"), body, tenant=tenant)
        if kept:
            write_private(kept, made["secret"])
            typer.echo(f"{kept} has the text, too", err=True)
        _show_once(made, as_json=as_json)


@keys.command()
def block(
    key_id: KeyId,
    tenant: TenantOption = "",
    force: Force = False,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Refuse all calls of a key, within a second, until `unblock`."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        _not_the_one_in_use(client, key_id, force=force)
        found = client.send("POST", one(KEYS, key_id, "block"), tenant=tenant)
        print_json(found) if as_json else typer.echo(f"blocked {found['id']}")


@keys.command()
def unblock(
    key_id: KeyId,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """End a block."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.send("POST", one(KEYS, key_id, "unblock"), tenant=tenant)
        print_json(found) if as_json else typer.echo(f"unblocked {found['id']}")


@keys.command()
def revoke(
    key_id: KeyId,
    tenant: TenantOption = "",
    force: Force = False,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Take a key back for good; calls with it are refused within a second."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        _not_the_one_in_use(client, key_id, force=force)
        client.send("DELETE", one(KEYS, key_id), tenant=tenant)
        print_json({"revoked": key_id}) if as_json else typer.echo(f"revoked {key_id}")


def _show_once(made: dict[str, Any], *, as_json: bool) -> None:
    """The text alone on stdout, so that a script can take it; the rest is said beside it."""
    record, secret = made["key"], made["secret"]
    if as_json:
        print_json(record | {"key": secret})
        return
    typer.echo(secret)
    typer.echo(f"{record['id']} of the tenant {record['tenant']}; its text is shown this once", err=True)


def _not_the_one_in_use(client: AdminClient, key_id: str, *, force: bool) -> None:
    if not force and client.get(ME)["key"] == key_id:
        raise CliError(
            f"{key_id} is the key that this command uses; without it you may have none to get back in with",
            "use another key, or repeat it with --force",
        )


def _row(key: dict[str, Any], now: float) -> list[str]:
    named = [str(key[name] or "") for name in ("id", "tenant", "user", "name", "hint", "role")]
    return [
        *named,
        key_state(key, now),
        all_limit_words(key["limits"]),
        moment(key["created_at"]),
        moment(key["expires_at"]) or "never",
    ]


def _facts(key: dict[str, Any], state: dict[str, Any] | None) -> dict[str, str]:
    now = time.time()
    spent = f"{usd(state['settled_usd'])}, {usd(state['held_usd'])} held by {state['running']} running" if state else ""
    return {
        "id": key["id"],
        "tenant": key["tenant"],
        "user": key["user"] or "",
        "name": key["name"],
        "ends in": key["hint"],
        "role": key["role"],
        "state": key_state(key, now),
        "created": moment(key["created_at"]),
        "expires": moment(key["expires_at"]) or "never",
        "old text": f"accepted until {moment(key['previous_until'])}" if (key["previous_until"] or 0) > now else "",
        "limits": limit_words(key["limits"]),
        "cached answers": "taken where no worker can answer" if key.get("cached_answers") else "",
        "models": ", ".join(key["limits"]["models"]) or "all that its user and tenant may name",
        "tags": tag_words(key["metadata"]),
        "spent": spent,
    }
