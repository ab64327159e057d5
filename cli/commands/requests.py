"""`headrace requests`: what became of one request, and why."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from cli.client.admin import REQUESTS, one
from cli.commands.limits import TenantOption
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered
from cli.output import print_json
from cli.view.accounts import moment, tag_words, usd
from cli.view.table import plain, show_facts, show_table

requests = typer.Typer(help="Records of requests: show.", no_args_is_help=True)

RequestId = Annotated[str, typer.Argument(help="What `x-request-id` of the reply says.")]
_TOKENS = ("prompt", "cached", "completion", "reasoning", "reprefill")


@requests.callback()
def _group() -> None:
    """Keeps `show` a command of its own."""


@requests.command()
def show(
    request_id: RequestId,
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show who asked, where it ran, what it cost, how it ended, and its texts where they are kept."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        found = client.get(one(REQUESTS, request_id), tenant=tenant)
        if as_json:
            print_json(found)
            return
        show_facts(_facts(found))
        if found["attempts"]:
            typer.echo()
            rows = [[str(each[name] or "") for name in ("worker", "outcome", "reason")] for each in found["attempts"]]
            show_table(("worker", "outcome", "reason"), rows)
        for turn in found.get("prompt", ()):
            typer.echo(f"\n{turn['role']}: {_text(turn['text'])}")
        for answer in found.get("answers", ()):
            typer.echo(f"\nanswer: {_text(answer['content'])}")


def _facts(found: dict[str, Any]) -> dict[str, str]:
    times, tokens = found["times"], found["tokens"]
    first = "" if times["first_token_ms"] is None else f"first token {times['first_token_ms']:.0f} ms, "
    return {
        "request": found["id"],
        "at (UTC)": moment(found["created"]),
        "tenant": found["tenant"],
        "key": found["key_id"],
        "user": found["user"] or found["end_user"] or "",
        "session": f"{found['session_id']} ({found['session_source']})" if found["session_id"] else "",
        "model": found["model"],
        "worker": f"{found['worker']} ({found['placed_by'] or 'not placed'})" if found["worker"] else "",
        "times": f"{first}{times['total_ms']:.0f} ms in all, {times['queued_ms']:.0f} ms of it queued",
        "tokens": ", ".join(f"{tokens[name]} {name}" for name in _TOKENS if tokens[name]),
        "cost": usd(found["cost_usd"]),
        "finish": ", ".join(found["finish_reasons"]),
        "cut by": found["truncated"] or "",
        "error": found["error"] or "",
        "tags": tag_words(found["tags"]),
        "texts": found["text"],
    }


def _text(text: str) -> str:
    """As it is, line by line, without what would steer a terminal."""
    return "\n".join(plain(line) for line in text.split("\n"))
