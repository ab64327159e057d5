"""`headrace status`: what runs, and what the router knows of the workers."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

import typer
from rich.table import Table
from rich.text import Text

from cli.commands.options import AsJson, ConfigFile, StateDir, configuration
from cli.config import Config
from cli.inside import list_workers
from cli.output import console, print_json, reported
from cli.supervisor.state import PlatformState, read_state
from cli.view.words import COLOURS, describe
from libs.errors import PlatformError

EXIT_NOT_RUNNING = 3


def status(config: ConfigFile = None, state_dir: StateDir = None, as_json: AsJson = False) -> None:
    """Show the processes; exit status 0 = answers, 1 = runs but does not answer, 3 = does not run."""
    with reported(as_json):
        settings = configuration(config, state_dir)
        state = read_state(settings.layout.state_file)
        running = state if state is not None and state.alive else None
        workers = asyncio.run(_workers(settings, running)) if running else {}
        if as_json:
            print_json(as_document(running, workers))
        else:
            _show(running, workers)
        raise typer.Exit(0 if running and running.ready else 1 if running else EXIT_NOT_RUNNING)


def as_document(state: PlatformState | None, workers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The JSON form. A worker's `routed` is what the router says of it, null while it does not answer."""
    if state is None:
        return {"running": False, "ready": False, "processes": []}
    processes = [asdict(entry) | _routed(entry.kind, entry.name, workers) for entry in state.processes]
    return {
        "running": True,
        "ready": state.ready,
        "supervisor": {"pid": state.pid, "started_at": state.started_at},
        "rest": state.rest,
        "grpc": state.grpc,
        "processes": processes,
    }


def _routed(kind: str, name: str, workers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return {"routed": workers.get(name)} if kind == "worker" else {}


async def _workers(config: Config, state: PlatformState) -> dict[str, dict[str, Any]]:
    """The router's view by worker; empty when it does not answer, because status must work when things are broken."""
    port = next((entry.port for entry in state.processes if entry.kind == "router"), config.ports.router)
    try:
        found = await list_workers(port, config.layout.token_file)
    except (PlatformError, OSError):
        return {}
    return {
        worker.worker: {
            "state": worker.state,
            "boot_id": worker.boot_id,
            "model": worker.model,
            "pools": list(worker.pools),
            "running": worker.last.running,
            "waiting": worker.last.waiting,
            "kv_use": round(worker.last.kv_use, 4),
        }
        for worker in found
    }


def _show(state: PlatformState | None, workers: dict[str, dict[str, Any]]) -> None:
    if state is None:
        typer.echo("headrace does not run here; start it with `headrace up`")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("process", "state", "pid", "port", "boot", ""):
        table.add_column(column)
    for entry in state.processes:
        routed = workers.get(entry.name)
        load = f"{routed['state']}, {routed['running']} running, {routed['waiting']} waiting" if routed else ""
        words = load if entry.state == "ready" else describe(entry)
        colour = Text(entry.state, style=COLOURS.get(entry.state, ""))
        table.add_row(entry.name, colour, str(entry.pid or "-"), str(entry.port), entry.boot_id, words)
    screen = console()
    screen.print(f"{'answers' if state.ready else 'does not answer'} at {state.rest}/v1 and gRPC {state.grpc}")
    screen.print(table)
    for entry in state.processes:
        for line in entry.log_tail:
            screen.print(f"{entry.name:<12} | {line}", markup=False)
