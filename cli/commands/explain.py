"""`headrace explain`: why a request went where it went."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.explain_request import explain_request
from cli.commands.limits import TenantOption
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url

Request = Annotated[str, typer.Option("--request", help="What `x-request-id` of the reply says.")]


def explain(
    request: Request,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show how the model and the worker of a request were found, what was foreseen, and what came of it."""
    explain_request(request, tenant=tenant, url=url, key=key, config=config, state_dir=state_dir, as_json=as_json)
