"""`headrace model`: the bundled model, fetched and converted once."""

from __future__ import annotations

import asyncio

import typer

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.commands.up import onlooker
from cli.config import BUNDLED_MODEL
from cli.interrupts import EXIT_INTERRUPTED
from cli.model.bundled import ensure_bundled_model
from cli.output import print_json, reported

model = typer.Typer(help="The bundled model: fetch.", no_args_is_help=True)


@model.callback()
def _group() -> None:
    """Makes `fetch` a subcommand although it is the only one."""


@model.command()
def fetch(config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Fetch and convert the bundled model where it is missing or damaged; `up` does it by itself."""
    with reported(as_json):
        models = configuration(config, state_dir).layout.models
        try:
            with onlooker(as_json=as_json, logs=False) as view:
                path = asyncio.run(ensure_bundled_model(models, view.progress, view.note))
        except KeyboardInterrupt:
            raise typer.Exit(EXIT_INTERRUPTED) from None
        if as_json:
            print_json({"model": BUNDLED_MODEL, "path": str(path)})
        else:
            typer.echo(f"{BUNDLED_MODEL} is whole in {path}")
