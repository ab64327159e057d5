"""Which platform the client commands talk to, and with which key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import configuration
from cli.install import admin_key
from cli.supervisor.state import read_state

Url = Annotated[str | None, typer.Option(envvar="HEADRACE_URL", help="Gateway. [default: the one that runs here]")]
Key = Annotated[
    str | None,
    typer.Option(envvar="HEADRACE_API_KEY", help="API key. [default: .headrace/admin.key]", show_envvar=True),
]


def target(config: Path | None, state_dir: Path | None, url: str | None, key: str | None) -> tuple[str, str]:
    """URL and key: what was asked for, else what runs in this directory."""
    settings = configuration(config, state_dir)
    state = read_state(settings.layout.state_file)
    running = state.rest if state is not None and state.alive else f"http://127.0.0.1:{settings.ports.rest}"
    return (url or running).rstrip("/"), key or admin_key(settings.layout)
