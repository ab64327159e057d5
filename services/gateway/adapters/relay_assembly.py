"""The relay put together. kafka-python is loaded only where brokers are listed."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass

from libs.clock import Clock
from libs.kafka import KafkaSettings, TopicSpec
from libs.telemetry.metrics import Registry
from services.gateway.adapters.relay_metrics import RelayMetrics
from services.gateway.adapters.usage_topic import UsageTopic
from services.gateway.ports.ledger import Outbox
from services.gateway.usecases.outbox import OutboxRelay, RelayLimits

# A batch is sent, and its cursors moved, well within a lease.
LEASE_PER_SEND = 3


@dataclass(frozen=True, slots=True)
class RelayOptions:
    """Where entries go, and who publishes: `holder` is this process, as no other is called."""

    kafka: KafkaSettings
    topic: TopicSpec
    holder: str
    idle_seconds_max: float
    entries_max: int


def open_relay(
    stack: AsyncExitStack, options: RelayOptions, outbox: Outbox, clock: Clock, registry: Registry
) -> OutboxRelay:
    """The relay, to be run beside the service; nothing is connected yet. Its producer closes with the stack."""
    from libs.kafka.producer import IdempotentProducer

    producer = IdempotentProducer(options.kafka, [options.topic])
    stack.push_async_callback(producer.close)
    metrics = RelayMetrics(registry)
    limits = RelayLimits(
        idle_seconds_max=options.idle_seconds_max,
        entries_max=options.entries_max,
        lease_seconds=max(30.0, LEASE_PER_SEND * options.kafka.send_timeout_ms / 1000),
    )
    log = UsageTopic(producer, options.topic.name)
    relay = OutboxRelay(
        outbox, log, clock, metrics, holder=options.holder, durable=options.kafka.durable, limits=limits
    )
    metrics.follow(relay.waiting, relay.lag_seconds)
    return relay
