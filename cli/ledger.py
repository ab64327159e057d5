"""The stores and brokers behind `headrace ledger`, opened for one piece of work."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from cli.config import Config
from cli.errors import CliError
from cli.plan import kafka_broker, valkey_url
from libs.blobs import LocalBlobs
from libs.kafka import KafkaError, KafkaSettings, Seen
from libs.settings import SettingsError, parse
from libs.valkey import Valkey, ValkeySettings
from services.gateway.adapters.audit_memory import SqliteMemory
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.outbox_history import OutboxHistory
from services.gateway.adapters.rebuild_target import StoreTarget
from services.gateway.adapters.usage_events import UnreadableEventError
from services.gateway.adapters.usage_topic import TOPIC, TopicHistory
from services.gateway.ports.usage import RecordedCosts, UsageHistory
from services.gateway.settings import GatewaySettings
from services.gateway.usecases.audit import Audit, AuditReport
from services.gateway.usecases.rebuild import Rebuild, RebuildReport
from services.gateway.usecases.records.costs import RecordCosts

# Replaying waits for nobody: a store that is busy is not a store that is away.
OP_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Places:
    """Where a platform's money is: its store, its brokers and the topic, and its request records."""

    valkey: ValkeySettings
    kafka: KafkaSettings
    topic: str
    blobs: Path

    def store(self, url: str | None) -> ValkeySettings:
        """The platform's store, or the one at that URL."""
        return self.valkey if url is None else ValkeySettings(url=url)

    def records(self) -> RecordedCosts | None:
        """What request records say that requests cost; None where this machine sees none."""
        return RecordCosts(LocalBlobs(self.blobs)) if self.blobs.is_dir() else None

    def topic_history(self) -> UsageHistory:
        """The usage topic; raises CliError where no brokers are known."""
        from libs.kafka.reader import TopicReader

        if not self.kafka.brokers:
            raise CliError("there is no usage topic: no brokers are listed", "set kafka.brokers, or use --from outbox")
        return TopicHistory(TopicReader(self.kafka), self.topic)


def places(config: Config, gateway_config: Path | None) -> Places:
    """Those of a gateway's settings file and environment, else those of the platform that `headrace up` runs here."""
    if gateway_config is None:
        return _local_places(config)
    try:
        settings = parse(GatewaySettings, ["--config", str(gateway_config)], os.environ).settings
    except SettingsError as problem:
        raise CliError("; ".join(problem.problems), "give the settings file of a gateway", code=2) from None
    return Places(settings.valkey, settings.kafka, settings.outbox.topic, settings.blobs_path)


def _local_places(config: Config) -> Places:
    given = config.services.gateway
    try:
        kafka = KafkaSettings.model_validate(given.get("kafka") or {})
    except ValidationError as problem:
        raise CliError(f"services.gateway.kafka cannot be used: {problem}", "correct headrace.yaml", code=2) from None
    if config.embedded_broker:
        kafka = kafka.model_copy(update={"brokers": (kafka_broker(config),)})
    outbox, records = given.get("outbox") or {}, given.get("records") or {}
    blobs = Path(str(records.get("directory") or config.layout.root / "blobs"))
    return Places(ValkeySettings(url=valkey_url(config)), kafka, str(outbox.get("topic", TOPIC)), blobs)


@asynccontextmanager
async def opened(settings: ValkeySettings) -> AsyncIterator[Valkey]:
    """A store that answers; raises CliError when it does not."""
    valkey = Valkey(settings.model_copy(update={"op_timeout_ms": OP_TIMEOUT_MS}))
    try:
        if not await valkey.ready():
            raise CliError(f"the store at {_shown(settings.url)} does not answer", "start it, or name another one")
        yield valkey
    finally:
        await valkey.close()


def _shown(url: str) -> str:
    """The URL without the name and password that may be in it."""
    scheme, _, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"


async def rebuild(
    into: ValkeySettings, old: ValkeySettings | None, topic: UsageHistory | None, show: Callable[[RebuildReport], None]
) -> RebuildReport:
    """Fills an empty store from the topic, then from the outboxes of an old store."""
    async with opened(into) as target:
        with Seen() as seen, _told():
            if old is None:
                return await Rebuild(_known(topic), StoreTarget(target), seen, show).run()
            async with opened(old) as source:
                histories = [*_known(topic), OutboxHistory(ValkeyOutbox(source))]
                return await Rebuild(histories, StoreTarget(target), seen, show).run()


async def audit(store: ValkeySettings, topic: UsageHistory | None, records: RecordedCosts | None) -> AuditReport:
    """Compares what the store's ledger, its outboxes and the topic say."""
    async with opened(store) as valkey:
        with _told():
            return await Audit(ValkeyOutbox(valkey), LedgerReplay(valkey), SqliteMemory(), topic, records).run()


def _known(topic: UsageHistory | None) -> Sequence[UsageHistory]:
    return [] if topic is None else [topic]


@contextmanager
def _told() -> Iterator[None]:
    """Turns what a broker or a topic does wrong into words."""
    try:
        yield
    except (KafkaError, UnreadableEventError) as problem:
        raise CliError(str(problem)) from problem
