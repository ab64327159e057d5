"""`headrace keys`: API keys of this installation. Running gateways follow the file within a second."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.errors import CliError
from cli.install import ADMIN_TENANT
from cli.output import console, print_json, reported
from services.gateway.adapters.keys import create_key, list_keys, revoke_key

keys = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Who pays and whose cache it is.")]
Name = Annotated[str, typer.Option(help="What the key is for.")]
KeyId = Annotated[str, typer.Argument(help="Id from `headrace keys list`.")]


@keys.command()
def create(
    tenant: Tenant = ADMIN_TENANT,
    name: Name = "",
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it; it is stored as an HMAC and cannot be shown again."""
    with reported(as_json):
        layout = configuration(config, state_dir).layout
        key = create_key(layout.keys_file, layout.pepper_file, tenant, name)
        if as_json:
            made = list_keys(layout.keys_file)[-1]
            print_json({"id": made.id, "tenant": tenant, "name": name, "key": key})
        else:
            typer.echo(key)


@keys.command("list")
def list_all(config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the keys, without their secrets."""
    with reported(as_json):
        found = list_keys(configuration(config, state_dir).layout.keys_file)
        rows = [{"id": key.id, "tenant": key.tenant, "name": key.name, "created": key.created} for key in found]
        if as_json:
            print_json({"keys": rows})
            return
        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column in ("id", "tenant", "name", "created"):
            table.add_column(column)
        for row in rows:
            table.add_row(*row.values())
        console().print(table)


@keys.command()
def revoke(key_id: KeyId, config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Take a key back; calls with it are refused within a second."""
    with reported(as_json):
        if not revoke_key(configuration(config, state_dir).layout.keys_file, key_id):
            raise CliError(f"there is no key {key_id}", "see `headrace keys list`")
        if as_json:
            print_json({"revoked": key_id})
        else:
            typer.echo(f"revoked {key_id}")
