"""A client of the jobs API for one command, which ends in words where something is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from cli.client.jobs import JobsClient
from cli.commands.target import running_target
from cli.output import reported
from cli.view.job_progress import away_words


@contextmanager
def served(
    config: Path | None, state_dir: Path | None, url: str | None, key: str | None, *, as_json: bool
) -> Iterator[JobsClient]:
    """What it waits for is said on stderr, unless a view says it."""

    def on_away(why: str) -> None:
        typer.echo(away_words(why), err=True)

    with reported(as_json), JobsClient(*running_target(config, state_dir, url, key), on_away=on_away) as client:
        yield client
