"""`headrace demo`: shows the platform and checks what it shows."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli.commands.options import (
    AsJson,
    ConfigFile,
    Engine,
    GrpcPort,
    Logs,
    RestPort,
    StateDir,
    Workers,
    configuration,
)
from cli.commands.up import onlooker
from cli.demo.run import Demo, demo_started_at, run_demo, target_words
from cli.errors import CliError
from cli.interrupts import EXIT_INTERRUPTED, Interrupts
from cli.output import print_json, reported
from cli.view.jsonl import JsonView
from cli.view.port import Onlooker


def demo(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    rest_port: RestPort = None,
    grpc_port: GrpcPort = None,
    workers: Workers = None,
    engine: Engine = None,
    logs: Logs = None,
    as_json: AsJson = False,
) -> None:
    """Start all, run agent sessions, kill a worker in mid-stream and a job's consumer, overrun a budget, stop all.

    Exit status 0 only if every expectation held.
    """
    started_at = demo_started_at()
    with reported(as_json):
        settings = configuration(config, state_dir, rest_port, grpc_port, workers, engine)
        with _view(as_json=as_json, logs=bool(logs)) as view:
            shown = Demo(settings, view, started_at)
            problem = _run(shown)
    if as_json:
        print_json(shown.document() | {"error": str(problem) if problem else None})
    elif problem is not None:
        typer.echo(f"error: {problem}", err=True)
    _conclude(shown, problem, as_json=as_json)


def _run(shown: Demo) -> CliError | None:
    """Runs the demo; any signal ends it at once."""
    try:
        asyncio.run(Interrupts().guard(run_demo(shown)))
    except CliError as problem:
        return problem
    except asyncio.CancelledError:
        raise typer.Exit(EXIT_INTERRUPTED) from None
    return None


def _conclude(shown: Demo, problem: CliError | None, *, as_json: bool) -> None:
    held = shown.checks.all_held and problem is None
    if not as_json:
        typer.echo(target_words(shown.first_token_seconds) if shown.first_token_seconds else "There was no token.")
        typer.echo("The demo held in every point." if held else "The demo did NOT hold; see above.")
    raise typer.Exit(0 if held else 1)


@contextmanager
def _view(*, as_json: bool, logs: bool) -> Iterator[Onlooker]:
    if as_json:  # stdout is for the one document at the end
        yield JsonView(sys.stderr, logs=logs)
        return
    with onlooker(as_json=False, logs=logs) as view:
        yield view
