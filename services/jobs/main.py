"""The jobs service's composition root."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack

from libs.app import App, run_service
from libs.blobs import LocalBlobs
from libs.ids import boot_id
from libs.kafka import TopicSpec
from libs.kafka.consumer import Source
from libs.kafka.letter_settings import for_letters
from libs.kafka.letter_topics import topics_beside
from libs.rpc.api import Channel
from libs.rpc.dial import dial
from libs.rpc.server import RpcServer
from libs.settings import load
from libs.telemetry import get_logger
from libs.valkey import Valkey
from services.jobs.adapters.capacity import RpcCapacity
from services.jobs.adapters.gateways import RpcGateways
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.adapters.webhooks import Webhooks
from services.jobs.composition.ports import Ports, topics_of
from services.jobs.composition.service import JobsService, compose
from services.jobs.settings import JobsSettings

__all__ = ["compose", "main"]

IDENTITY = "jobs"

_log = get_logger("jobs")


async def build(settings: JobsSettings, stack: AsyncExitStack, app: App) -> None:
    """Opens the adapters, then the port. A store, a broker or a neighbour that is down delays nothing."""
    service = compose(settings, await open_ports(settings, stack, app))
    server = RpcServer(
        IDENTITY,
        service.handlers,
        settings.rpc,
        clock=app.clock,
        token=settings.internal_token(),
        hooks=app.telemetry.hooks,
        trunks=app.telemetry.trunks,
    )
    app.serve(server)
    if service.watches is not None:
        app.on_stop_accepting(service.watches.close)
    _run(service, settings.attempts.stop_seconds, stack, app)
    await server.start()
    _log.info("jobs", roles=list(settings.roles), brokers=list(settings.kafka.brokers))


def _run(service: JobsService, stop_seconds: float, stack: AsyncExitStack, app: App) -> None:
    """Consumers end first: what they give back still needs the loops and the store."""
    if service.running is not None:
        stack.push_async_callback(service.running.desk.close)
        stack.push_async_callback(service.running.gate.close)
    for name, loop in service.loops.items():
        app.spawn(loop(), name)
    for name, consumer in service.consumers.items():
        app.on_drain(within(stop_seconds, consumer.drain))
        run = service.stops.guard(name, consumer.run()) if service.stops else consumer.run()
        app.spawn(run, f"{name} consumer")


def within(seconds: float, drain: Callable[[float], Awaitable[None]]) -> Callable[[float], Awaitable[None]]:
    """`drain` with at most so many seconds of the grace that it is given."""
    return lambda grace: drain(min(grace, seconds))


async def open_ports(settings: JobsSettings, stack: AsyncExitStack, app: App) -> Ports:
    """Real ones; all are closed with the stack."""
    from libs.kafka.consumer.kafka_source import KafkaSource
    from libs.kafka.producer import IdempotentProducer

    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    await valkey.ready()
    topics = topics_of(settings)
    beside = topics_beside(topics, settings.letters)
    producer = IdempotentProducer(settings.kafka, topics)
    letters = IdempotentProducer(for_letters(settings.kafka), (*topics, *beside))
    gateways = RpcGateways(
        _dial(settings, settings.edge.gateways, app), app.clock, random.random, settings.edge.reserve_seconds
    )
    capacity = RpcCapacity(_dial(settings, settings.edge.routers, app), app.clock, random.random)
    hooks = Webhooks(settings.webhooks, app.clock)
    for close in (producer.close, letters.close, gateways.close, capacity.close, hooks.close):
        stack.push_async_callback(close)

    def source(group: str, topics: Sequence[TopicSpec]) -> Source:
        return KafkaSource(settings.kafka, settings.consumer, group, topics)

    return Ports(
        store=ValkeyJobs(valkey, settings.keep_days * 86_400),
        producer=producer,
        letters=letters,
        source=source,
        gateways=gateways,
        capacity=capacity,
        hooks=hooks,
        blobs=LocalBlobs(settings.blobs_path),
        clock=app.clock,
        registry=app.telemetry.registry,
        owner=f"{settings.name or IDENTITY}-{boot_id()}",
    )


def _dial(settings: JobsSettings, addresses: Sequence[str], app: App) -> list[Channel]:
    token, trunks = settings.internal_token(), app.telemetry.trunks
    return [
        dial(address, settings.edge.transport, identity=IDENTITY, token=token, trunks=trunks) for address in addresses
    ]


def main() -> None:
    """`python -m services.jobs.main`."""
    settings = load(JobsSettings)
    run_service("jobs", settings, lambda stack, app: build(settings, stack, app), instance=settings.name)


if __name__ == "__main__":
    main()
