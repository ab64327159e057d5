"""Which platform the client commands talk to, and with which key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.client.admin import AdminClient
from cli.commands.options import configuration
from cli.errors import CliError
from cli.install import admin_key
from cli.output import reported
from cli.supervisor.state import read_state

Url = Annotated[str | None, typer.Option(envvar="HEADRACE_URL", help="Gateway. (default: the one that runs here)")]
Key = Annotated[
    str | None,
    typer.Option(envvar="HEADRACE_API_KEY", help="API key. (default: .headrace/admin.key)", show_envvar=True),
]


def target(config: Path | None, state_dir: Path | None, url: str | None, key: str | None) -> tuple[str, str]:
    """URL and key: what was asked for, else what runs in this directory. Raises CliError."""
    settings = configuration(config, state_dir)
    state = read_state(settings.layout.state_file)
    running = state.rest if state is not None and state.alive else f"http://127.0.0.1:{settings.ports.rest}"
    return _address(url or running), key or admin_key(settings.layout)


def running_target(config: Path | None, state_dir: Path | None, url: str | None, key: str | None) -> tuple[str, str]:
    """As `target`, but an admin key goes to no port that nobody has named: without --url a platform must run here."""
    settings = configuration(config, state_dir)
    state = read_state(settings.layout.state_file)
    if not url and (state is None or not state.alive):
        fix = "start it with `headrace up`, or name a gateway with --url or HEADRACE_URL"
        raise CliError(f"no platform runs in {settings.layout.root}, and accounts live in its store", fix)
    return target(config, state_dir, url, key)


def kept_key(config: Path | None, state_dir: Path | None, key: str | None) -> Path | None:
    """The file of the key in use, None where it is in none of ours."""
    layout = configuration(config, state_dir).layout
    kept = admin_key(layout)
    return layout.admin_key_file if kept and (key or kept) == kept else None


@contextmanager
def administered(
    config: Path | None, state_dir: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> Iterator[AdminClient]:
    """A client of the admin API for one command, which ends in words where something is wrong."""
    with reported(as_json), AdminClient(*running_target(config, state_dir, url, key)) as client:
        yield client


def _address(url: str) -> str:
    """What OpenAI's clients call the base URL is taken, too."""
    if not url.startswith(("http://", "https://")):
        raise CliError(f"{url!r} is no URL", "write it as http://127.0.0.1:8080", code=2)
    return url.rstrip("/").removesuffix("/v1")
