"""`headrace router`: what the router decides by, and how it does."""

from __future__ import annotations

import typer

from cli.commands.router_variants import variants

router = typer.Typer(help="The router: variants of pools.", no_args_is_help=True)
router.add_typer(variants, name="variants")
