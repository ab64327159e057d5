"""`headrace up`: the platform in the foreground."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli.commands.options import (
    Anonymous,
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
from cli.config import Config
from cli.interrupts import EXIT_INTERRUPTED, Interrupts
from cli.output import console, reported
from cli.platform import running_platform, wait_settled
from cli.view.jsonl import JsonView
from cli.view.live import LiveView
from cli.view.plain import PlainView
from cli.view.port import Onlooker


def up(
    config: ConfigFile = None,
    state_dir: StateDir = None,
    rest_port: RestPort = None,
    grpc_port: GrpcPort = None,
    workers: Workers = None,
    engine: Engine = None,
    anonymous: Anonymous = False,
    logs: Logs = None,
    as_json: AsJson = False,
) -> None:
    """Start the platform here and now; Ctrl-C stops it, a second Ctrl-C kills it."""
    with reported(as_json):
        settings = configuration(config, state_dir, rest_port, grpc_port, workers, engine, anonymous)
        with onlooker(as_json=as_json, logs=not as_json if logs is None else logs) as view:
            try:
                asyncio.run(_up(settings, view))
            except asyncio.CancelledError:
                raise typer.Exit(EXIT_INTERRUPTED) from None


@contextmanager
def onlooker(*, as_json: bool, logs: bool) -> Iterator[Onlooker]:
    """The view that suits where stdout goes."""
    screen = console()
    if as_json:
        yield JsonView(sys.stdout, logs=logs)
    elif screen.is_terminal:
        with LiveView(screen, logs=logs) as live:
            yield live
    else:
        yield PlainView(screen, logs=logs)


async def _up(config: Config, view: Onlooker) -> None:
    interrupts = Interrupts()
    await interrupts.guard(_serve(config, view, interrupts))


async def _serve(config: Config, view: Onlooker, interrupts: Interrupts) -> None:
    begun = time.monotonic()
    async with running_platform(config, view) as supervisor:
        interrupts.armed = True
        settled = asyncio.create_task(wait_settled(supervisor))
        stopped = asyncio.create_task(interrupts.stop.wait())
        await asyncio.wait([settled, stopped], return_when=asyncio.FIRST_COMPLETED)
        if settled.done():
            view.note(welcome(config, time.monotonic() - begun) if settled.result() else TROUBLE)
        settled.cancel()
        await stopped
        view.note("Stopping: running answers are finished first; Ctrl-C again kills.")


TROUBLE = "The platform cannot answer: a process it needs has been given up (see above). Ctrl-C stops the rest."


def welcome(config: Config, seconds: float) -> str:
    """What a user needs to know when the platform answers."""
    pools = ", ".join(sorted({pool for worker in config.workers for pool in worker.pools}))
    models = ", ".join(sorted({worker.model for worker in config.workers}))
    key = "not needed (--anonymous)" if config.anonymous else f"in {config.layout.admin_key_file}"
    return (
        f"Headrace answers after {seconds:.0f} s.\n"
        f"  REST  http://127.0.0.1:{config.ports.rest}/v1   gRPC  127.0.0.1:{config.ports.grpc}   key  {key}\n"
        f"  Pools {pools} are served by {models}. Point one at another model or provider in headrace.yaml.\n"
        f"{_auto(config)}"
        f"  Try: headrace chat"
    )


def _auto(config: Config) -> str:
    """What the model `auto` stands for; where all of it is one model, that is said."""
    tiers = {tier: [each["pool"] for each in pools] for tier, pools in config.router_tiers.items()}
    if "tiers" in config.services.router or not tiers:
        return ""
    used = {name for names in tiers.values() for name in names}
    behind = {worker.model for worker in config.workers if {*worker.pools, worker.model} & used}
    one = f"; all of them are {behind.pop()}" if len(behind) == 1 else ""
    named = ", ".join(f"{tier} ({', '.join(names)})" for tier, names in tiers.items())
    return f"  Model auto chooses from {named}{one}.\n"
