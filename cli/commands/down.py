"""`headrace down`: stops a platform that runs elsewhere."""

from __future__ import annotations

import os
import signal
import time
from typing import Annotated

import typer

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.errors import CliError
from cli.layout import Layout
from cli.output import print_json, reported
from cli.supervisor.leftovers import clear_orphans
from cli.supervisor.state import PlatformState, read_state

POLL_SECONDS = 0.1
KILL_SECONDS_MAX = 10.0

Kill = Annotated[bool, typer.Option("--kill", help="Do not wait for running answers.")]
Timeout = Annotated[float, typer.Option(help="Seconds to wait for running answers.")]


def down(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    kill: Kill = False,
    timeout: Timeout = 60.0,
    as_json: AsJson = False,
) -> None:
    """Stop the platform of this directory in drain order."""
    with reported(as_json):
        layout = configuration(config, state_dir).layout
        stopped, orphans = stop_platform(layout, kill=kill, timeout=timeout)
        if as_json:
            print_json({"stopped": stopped, "orphans": orphans})
        elif stopped:
            typer.echo("stopped")
        else:
            typer.echo(f"killed what a dead headrace left: {', '.join(orphans)}" if orphans else "nothing runs here")


def stop_platform(layout: Layout, *, kill: bool, timeout: float) -> tuple[bool, list[str]]:
    """Stops the supervisor and waits for its end; (it was running, names of orphans killed). Raises CliError."""
    state = read_state(layout.state_file)
    if state is None or not state.alive:
        return False, [orphan.name for orphan in clear_orphans(layout)]
    os.kill(state.pid, signal.SIGTERM)
    if kill or not _gone(state, timeout):
        os.kill(state.pid, signal.SIGTERM)
        if not _gone(state, KILL_SECONDS_MAX):
            fix = f"kill -9 {state.pid}, then `headrace down` again clears the rest"
            raise CliError(f"the supervisor (process {state.pid}) does not stop", fix)
    return True, []


def _gone(state: PlatformState, timeout: float) -> bool:
    end = time.monotonic() + timeout
    while state.alive:
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True
