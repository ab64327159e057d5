"""`headrace explain`: how hard a prompt is, or why a request went where it went."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.commands.explain_prompt import explain_prompt
from cli.commands.explain_request import explain_request
from cli.commands.limits import TenantOption
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.router import ModelFile
from cli.commands.target import Key, Url
from cli.errors import CliError
from cli.output import reported

Prompt = Annotated[str, typer.Argument(help="Says which tier it would go to and why; no server is asked.")]
Request = Annotated[str, typer.Option("--request", help="What `x-request-id` of the reply says.")]


def explain(
    prompt: Prompt = "",
    request: Request = "",
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    model: ModelFile = None,
    as_json: AsJson = False,
) -> None:
    """Show how hard a prompt is, or with --request how a request found its model and worker and what came of it."""
    with reported(as_json):
        if bool(prompt) == bool(request):
            raise CliError("nothing to explain" if not prompt else "two things to explain", _FIX, code=2)
    if prompt:
        explain_prompt(prompt, config=config, state_dir=state_dir, model=model, as_json=as_json)
    else:
        explain_request(request, tenant=tenant, url=url, key=key, config=config, state_dir=state_dir, as_json=as_json)


_FIX = 'give a prompt, as in headrace explain "What is the capital of France?", or --request ID'
