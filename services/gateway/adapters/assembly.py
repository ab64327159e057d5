"""Puts the pipeline together on an exit stack: what is opened here is closed in reverse with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Literal

from libs.clock import Clock
from libs.resilience.breaker import BreakerRule
from libs.resilience.retry_budget import RetryBudget
from libs.rpc.api import Channel
from libs.rpc.dial import dial
from libs.rpc.replicas import ReplicatedChannel
from libs.rpc.trunk.gauges import Trunks
from libs.telemetry.metrics import Registry
from services.gateway.adapters.breaker_metrics import BreakerMetrics
from services.gateway.adapters.catalog import WatchedCatalog
from services.gateway.adapters.outcome_reports import OutcomeReports
from services.gateway.adapters.placements import PlacementLimits, RememberingRouter
from services.gateway.adapters.quarantine import MemorySuspects
from services.gateway.adapters.router import RpcRouter
from services.gateway.adapters.sent import RpcSentCounts
from services.gateway.adapters.tokenizer_disk import TokenizerDisk
from services.gateway.adapters.tokenizers import FetchedEncoders
from services.gateway.adapters.wait_metrics import WaitMetrics
from services.gateway.adapters.warmup import Warmth
from services.gateway.adapters.workers import Channels, RpcWorkers
from services.gateway.domain.salt import CacheSalts
from services.gateway.ports import Catalog, Observer, Owners
from services.gateway.ports.quarantine import SuspectStore
from services.gateway.ports.sent import SentCounts
from services.gateway.usecases.attempts import Means, RunnerLimits
from services.gateway.usecases.breakers import Breakers
from services.gateway.usecases.call import Services
from services.gateway.usecases.chat import ChatPipeline
from services.gateway.usecases.ledger.charge import Charges
from services.gateway.usecases.outcomes import OutcomeLog
from services.gateway.usecases.prepare import PrepareLimits, Preparer
from services.gateway.usecases.quarantine import Quarantine
from services.gateway.usecases.sessions import SessionGuard, SessionLimits
from services.gateway.usecases.stand_ins import StandIns
from services.gateway.usecases.waiting import WaitingRoom, WaitLimits
from services.gateway.usecases.watchdog import Watchdog, WatchRule

Transport = Literal["trunk", "grpc"]
Dial = Callable[[str, Transport], Channel]


@dataclass(frozen=True, slots=True)
class PipelineOptions:
    """What the pipeline needs to know of its place; `token` is the internal token, `secret` the install's pepper."""

    router_addresses: tuple[str, ...]
    router_transport: Transport
    worker_transport: Transport
    token: str
    secret: bytes
    tokenizer_dir: Path
    trunks: Trunks | None = None
    registry: Registry | None = None
    margin_seconds: float = 0.05
    # Load tokenizers when their model appears; without it, each model's first call waits for them.
    warm: bool = True
    sessions: SessionLimits = field(default_factory=SessionLimits)
    placements: PlacementLimits = field(default_factory=PlacementLimits)
    prepare: PrepareLimits = field(default_factory=PrepareLimits)
    runner: RunnerLimits = field(default_factory=RunnerLimits)
    waiting: WaitLimits = field(default_factory=WaitLimits)
    breakers: BreakerRule = field(default_factory=BreakerRule)
    watch: WatchRule = field(default_factory=WatchRule)
    # Where no store is given that gateways share.
    quarantine_seconds: float = 120.0


@dataclass(frozen=True, slots=True)
class OpenPipeline:
    """The pipeline, who asks its workers what they have sent, and what else looks at requests before they are made."""

    chat: ChatPipeline
    sent: SentCounts
    catalog: Catalog
    preparer: Preparer


async def open_pipeline(
    stack: AsyncExitStack,
    options: PipelineOptions,
    owners: Owners,
    charges: Charges,
    clock: Clock,
    *,
    observers: Sequence[Observer] = (),
    dialler: Dial | None = None,
    suspects: SuspectStore | None = None,
    stand_ins: StandIns | None = None,
) -> OpenPipeline:
    """The pipeline, watching the catalog; it is closed with the stack. Returns at once: see `ready`."""

    def by_address(address: str, transport: Transport) -> Channel:
        return dial(address, transport, identity="gateway", token=options.token, trunks=options.trunks)

    connect = dialler or by_address
    replicas = [connect(address, options.router_transport) for address in options.router_addresses]
    to_router = ReplicatedChannel(replicas, clock, random=random.random)
    stack.push_async_callback(to_router.close)
    channels = Channels(lambda address: connect(address, options.worker_transport), clock)
    stack.push_async_callback(channels.close)
    _spawn(stack, channels.keep_swept(), "channel-sweeper")
    encoders = FetchedEncoders(channels, TokenizerDisk(options.tokenizer_dir))
    stack.push_async_callback(encoders.close)
    catalog = WatchedCatalog(to_router, clock)
    stack.push_async_callback(catalog.close)
    warmth = Warmth(catalog, encoders, clock)
    if options.warm:
        _spawn(stack, warmth.keep(), "tokenizer-warm-up")
    catalog.start()
    registry = options.registry or Registry()
    outcomes = OutcomeLog()
    _spawn(stack, OutcomeReports(outcomes, to_router.channels, clock, registry).keep(), "outcome-reports")
    router = RememberingRouter(RpcRouter(to_router), catalog.version, clock, options.placements, registry)
    wait_metrics = WaitMetrics(registry)
    room = WaitingRoom(clock, options.waiting, wait_metrics, workers=partial(_workers, catalog))
    wait_metrics.read_from(lambda: len(room))
    workers = RpcWorkers(channels)
    breakers = Breakers(clock, options.breakers, BreakerMetrics(registry))
    lives = partial(workers.lives, timeout=options.watch.ask_seconds)
    _spawn(stack, Watchdog(breakers, lives, clock, options.watch).keep(), "watchdog")
    store = suspects or MemorySuspects(clock, options.quarantine_seconds)
    died = partial(workers.died, timeout=options.watch.ask_seconds)
    quarantine = Quarantine(store, died, clock, options.secret)
    _spawn(stack, quarantine.keep(), "quarantine")
    preparer = Preparer(encoders, CacheSalts(options.secret), clock, options.prepare)
    services = Services(
        catalog=catalog,
        guard=SessionGuard(owners, clock, options.sessions),
        preparer=preparer,
        means=Means(router, workers, RetryBudget(clock.monotonic), options.runner, room, breakers, quarantine),
        charges=charges,
        clock=clock,
        margin_seconds=options.margin_seconds,
        stand_ins=stand_ins,
    )
    chat = ChatPipeline(services, [*observers, outcomes], loaded=warmth.loaded if options.warm else None)
    return OpenPipeline(chat, RpcSentCounts(catalog, channels), catalog, preparer)


def _workers(catalog: Catalog, model: str) -> int:
    info = catalog.find(model)
    return len(info.addresses) if info else 0


def _spawn(stack: AsyncExitStack, work: Coroutine[None, None, None], name: str) -> None:
    stack.push_async_callback(_stop, asyncio.get_running_loop().create_task(work, name=name))


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
