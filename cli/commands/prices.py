"""`headrace prices`: what models cost. A model without a price is not sold."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client.admin import PRICES, one
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered
from cli.output import print_json
from cli.view.accounts import usd
from cli.view.table import show_table

prices = typer.Typer(help="Prices of models, in dollars per million tokens: list, set, clear.", no_args_is_help=True)

Model = Annotated[str, typer.Argument(help="Model or pool.")]
Input = Annotated[str, typer.Option("--input", help="Prompt tokens.")]
Output = Annotated[str, typer.Option("--output", help="Answer tokens.")]
Cached = Annotated[str | None, typer.Option(help="Prompt tokens found cached. (default: as other prompt tokens)")]
_COLUMNS = ("model", "input", "cached", "output")


@prices.command("list")
def list_all(
    url: Url = None, key: Key = None, config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False
) -> None:
    """Show the stored prices; those of the gateway's settings count where none is stored."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = list(client.pages(PRICES))
        if as_json:
            print_json({"prices": found})
        elif found:
            _show(found)
        else:
            typer.echo("no price is stored; those of the gateway's settings count")


@prices.command("set")
def set_one(
    model: Model,
    input_usd: Input,
    output_usd: Output,
    cached: Cached = None,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Set the price of a model; calls that run keep theirs."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        body = {"input_usd": input_usd, "cached_usd": cached or input_usd, "output_usd": output_usd}
        found = client.send("PUT", one(PRICES, model), body)
        print_json(found) if as_json else _show([found])


@prices.command()
def clear(
    model: Model,
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Take a stored price away; the settings' price counts again, or calls of the model are refused."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.send("DELETE", one(PRICES, model))
        print_json(found) if as_json else typer.echo(f"cleared the price of {model}")


def _show(found: list[dict[str, Any]]) -> None:
    rows = [[each["model"], *(usd(each[f"{name}_usd"]) for name in _COLUMNS[1:])] for each in found]
    show_table(_COLUMNS, rows, right=_COLUMNS[1:])
