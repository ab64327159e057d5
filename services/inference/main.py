"""The composition root of an inference worker: `python -m services.inference.main --help`."""

from __future__ import annotations

import os
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial

from libs import ids
from libs.app import App, run_service
from libs.clock import Clock
from libs.rpc.server import RpcServer
from libs.settings import load
from libs.telemetry import get_logger
from services.inference.adapters.engines import MessageSide, TokenSide, build_engine, model_card
from services.inference.api import InferenceApi, Served
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.domain.model import Capabilities, Capacity
from services.inference.metrics import InferenceMetrics
from services.inference.settings import InferenceSettings
from services.inference.usecases.activity import Activity, CallObserver
from services.inference.usecases.drain import Drain
from services.inference.usecases.generate import GenerateTokens
from services.inference.usecases.outputs import Outputs
from services.inference.usecases.relay import RelayMessages
from services.inference.usecases.sent import SentLog
from services.inference.usecases.warmup import warm_up
from services.inference.usecases.watch import StateBoard

_log = get_logger("inference")


@dataclass(frozen=True)
class Worker:
    """The service without its port."""

    api: InferenceApi
    activity: Activity
    board: StateBoard
    drain: Drain


def compose(
    settings: InferenceSettings,
    side: TokenSide | MessageSide,
    started: tuple[Capabilities, Capacity],
    *,
    clock: Clock,
    boot_id: str,
    blocks: CachedBlocks,
    observers: tuple[CallObserver, ...] = (),
) -> Worker:
    """A worker over an engine that has started."""
    can, capacity = started
    card = model_card(settings, side, boot_id)
    kept = settings.sent
    activity = Activity(SentLog(clock, entries_max=kept.entries_max, seconds=kept.seconds), observers)
    beat, stall = settings.state_beat_ms / 1000, settings.engine.stall_seconds
    board = StateBoard(side.engine.load, activity, clock, blocks, beat_seconds=beat, stall_seconds=stall)
    drain = Drain(activity)
    if isinstance(side, MessageSide):
        relay = RelayMessages(side.engine, card, can, activity, clock)
        served = Served(card, can, capacity, activity, board, side.counter, drain.begin, relay=relay)
    else:
        outputs = Outputs(side.detokenizers, side.engine.parsers)
        generate = GenerateTokens(side.engine, card, can, outputs, activity, clock)
        served = Served(card, can, capacity, activity, board, side, drain.begin, generate=generate, files=side.files)
    return Worker(InferenceApi(served), activity, board, drain)


async def build(settings: InferenceSettings, stack: AsyncExitStack, app: App) -> None:
    """Starts the engine, binds the port, generates a token; from then on the app's life is the worker's."""
    token = settings.internal_token()
    workers: list[Worker] = []

    def on_death(why: str) -> None:
        for worker in workers:
            worker.activity.die()
        # A worker without its engine is of no use; its supervisor starts another one.
        app.fail(f"the engine has died: {why}")

    blocks = CachedBlocks(settings.kv_events.blocks_max)
    side = build_engine(settings, app.clock, on_death, blocks if settings.kv_events.enabled else None)
    stack.push_async_callback(side.engine.close)
    started = await side.engine.start()
    if isinstance(side, TokenSide):
        await warm_up(side.engine, settings.engine.start_seconds)
    metrics = InferenceMetrics(app.telemetry.registry)
    boot_id = ids.boot_id()
    worker = compose(settings, side, started, clock=app.clock, boot_id=boot_id, blocks=blocks, observers=(metrics,))
    workers.append(worker)
    metrics.read_load(side.engine.load, lambda: worker.board.healthy)
    metrics.read_blocks(lambda: len(blocks), lambda: blocks.left_out)
    server = RpcServer(
        "inference",
        worker.api.handlers(),
        settings.rpc,
        clock=app.clock,
        token=token,
        hooks=app.telemetry.hooks,
        trunks=app.telemetry.trunks,
    )
    stack.push_async_callback(server.stop)
    port = await server.start()
    _live(app, worker, server)
    _log.info("worker ready", worker=settings.name, port=port, engine=settings.engine.kind, model=settings.model.name)


def _live(app: App, worker: Worker, server: RpcServer) -> None:
    async def serving(*, serving: bool) -> None:
        if not serving:
            worker.activity.drain()
        await server.set_serving(serving=serving and worker.board.healthy)

    async def leave(grace_seconds: float, *, hand_over: bool = False) -> None:
        # Streams that do not end in time go on elsewhere.
        finished = not hand_over and await worker.drain.finished(grace_seconds)
        worker.board.close()
        await server.drain(grace_seconds * 0.1, hand_over=not finished)

    async def leave_and_stop(grace_seconds: float, hand_over: bool) -> None:  # noqa: FBT001 - the RPC's fields
        await leave(grace_seconds, hand_over=hand_over)
        app.stop("drained")

    app.on_serving(serving)
    app.on_drain(leave)
    worker.board.on_health(lambda healthy: app.spawn(server.set_serving(serving=healthy), "health"))
    worker.drain.on_begin(lambda grace, over: app.spawn(leave_and_stop(grace, over), "drain"))
    app.spawn(worker.board.run(), "state")


def main(argv: list[str]) -> None:
    """Runs a worker until a signal, or until its engine dies."""
    settings = load(InferenceSettings, argv)
    # One worker is one process group, so that all of it can be ended at once; a terminal's Ctrl-C must still come.
    if os.getpgrp() != os.getpid() and not sys.stdin.isatty():
        os.setpgid(0, 0)
    run_service("inference", settings, partial(build, settings), instance=settings.name)


if __name__ == "__main__":
    main(sys.argv[1:])
