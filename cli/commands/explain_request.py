"""`headrace explain --request ID`: why a request went where it went, from its record."""

from __future__ import annotations

from pathlib import Path

from cli.client.admin import REQUESTS, one
from cli.commands.target import administered
from cli.output import print_json
from cli.view.route import show_route


def explain_request(
    request_id: str,
    *,
    tenant: str = "",
    url: str | None = None,
    key: str | None = None,
    config: Path | None = None,
    state_dir: Path | None = None,
    as_json: bool = False,
) -> None:
    """Prints the explanation of one request; with `as_json` its record's route, attempts and costs as JSON.

    Raises CliError: no gateway, no such request, not allowed.
    """
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.get(one(REQUESTS, request_id), tenant=tenant)
        if as_json:
            names = ("id", "model", "worker", "placed_by", "route", "attempts", "times", "tokens", "cost_usd", "error")
            print_json({name: found.get(name) for name in names})
        else:
            show_route(found)
