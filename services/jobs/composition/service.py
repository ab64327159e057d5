"""Settings and ports in, the service out."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from libs.files import FileStore
from libs.kafka.consumer import Consumer, ConsumerMetrics
from libs.kafka.gathering import GatheringProducer
from libs.kafka.letter_topics import retry_topics
from libs.kafka.letters import TopicLetters
from libs.kafka.ports import TopicSpec
from libs.kafka.retry_pump import RetryPump
from libs.kafka.stops import Stops
from libs.kafka.traced import TracedHandler
from libs.rpc.api import Handler
from services.jobs.adapters.outgoing import REQUESTED, KafkaOutgoing
from services.jobs.composition.faces import FaceMeans, faces
from services.jobs.composition.ports import Ports, topics_of
from services.jobs.composition.running import (
    Running,
    chores_of,
    compose_running,
    compose_sending,
    sweeper_of,
)
from services.jobs.consumers.finished import FinishedHandler
from services.jobs.consumers.requested import RequestedHandler
from services.jobs.consumers.submission import SubmissionTaker
from services.jobs.metrics import JobsMetrics
from services.jobs.settings import JobsSettings
from services.jobs.usecases.agenda import Sweeper
from services.jobs.usecases.batch_files import BatchFileMeans, BatchFiles
from services.jobs.usecases.expansion import Expander, ExpansionMeans
from services.jobs.usecases.file_retention import FileRetention
from services.jobs.usecases.sending import Sending
from services.jobs.usecases.watch import Watches

Loop = Callable[[], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class JobsService:
    """The service without its port. `loops` run until they are cancelled; `consumers` by `run` and `drain`."""

    handlers: Sequence[Handler]
    loops: dict[str, Loop]
    consumers: dict[str, Consumer] = field(default_factory=dict)
    running: Running | None = None
    # Guards the runs of the consumers.
    stops: Stops | None = None
    # Closed when nothing more is accepted: no watch of a job ends within a grace.
    watches: Watches | None = None


def compose(settings: JobsSettings, ports: Ports) -> JobsService:
    """The service in its roles. Raises SettingsError for producers' secrets that cannot be read."""
    metrics = JobsMetrics(ports.registry, ports.clock)
    outgoing = KafkaOutgoing(GatheringProducer(ports.producer), ports.clock)
    sweeper = sweeper_of(settings, ports, metrics)
    sending = compose_sending(settings, ports, outgoing)
    files = FileStore(ports.blobs, ports.clock, settings.files)
    means = FaceMeans(ports.store, ports.store, ports.gateways, sending, ports.blobs, files)
    shown = faces(settings, means, ports.clock, plain_http=settings.webhooks.http_allowed)
    handlers = shown.server.handlers() if "api" in settings.roles else ()
    if not settings.consumes:
        return JobsService(handlers, {}, watches=shown.watches)
    parts = _Parts(settings, ports, metrics, outgoing, files, sweeper, shown.submissions)
    return replace(parts.service(handlers, sending), watches=shown.watches)


@dataclass(frozen=True)
class _Parts:
    """What the consumer role is made of."""

    settings: JobsSettings
    ports: Ports
    metrics: JobsMetrics
    outgoing: KafkaOutgoing
    files: FileStore
    sweeper: Sweeper
    submissions: SubmissionTaker

    def service(self, handlers: Sequence[Handler], sending: Sending) -> JobsService:
        """All of it."""
        settings, ports, store = self.settings, self.ports, self.ports.store
        batches = BatchFiles(BatchFileMeans(self.files, ports.blobs, store))
        consumers: dict[str, Consumer] = {}

        def part() -> float:
            """By partitions: each has about the same work."""
            mine = consumers["requested"].partitions(REQUESTED)
            return min(1.0, mine / settings.topics.partitions) if mine else 1.0

        running = compose_running(settings, ports, batches, self.metrics, wake=self.sweeper.wake, part=part)
        expander = Expander(ExpansionMeans(store, store, ports.gateways, self.files, sending, store))
        places = settings.attempts.parts_max
        requested = RequestedHandler(running.runner, expander, self.submissions, ports.clock, places)
        chores = chores_of(settings, ports, self.outgoing, sending, batches, self.metrics, backlog=requested.backlog)
        self.sweeper.doing.update(chores.all())
        stops = Stops(ports.registry)
        letters, counted = TopicLetters(ports.letters, settings.letters, ports.clock), ConsumerMetrics(ports.registry)
        consumers.update(self._consumers(requested, letters, counted))
        pump = self._pump(letters, counted)
        self.metrics.watch(lambda: len(running.desk), running.gate.figures)
        retention = FileRetention(self.files, ports.clock, every_seconds=settings.files_purge_seconds)
        loops: dict[str, Loop] = {
            "leases": running.desk.run,
            "gate": running.gate.run,
            "agenda": self.sweeper.run,
            "file retention": retention.run,
            "retries": lambda: stops.guard("retries", pump.run()),
        }
        return JobsService(handlers, loops, consumers, running, stops)

    def _consumers(
        self, requested: RequestedHandler, letters: TopicLetters, metrics: ConsumerMetrics
    ) -> dict[str, Consumer]:
        settings, ports = self.settings, self.ports
        wide = settings.consumer.model_copy(update={"inflight_max": settings.attempts.parts_max})
        topics = topics_of(settings)
        group = settings.topics.group
        finished = FinishedHandler(ports.store, ports.clock, ports.random)
        return {
            "requested": Consumer(
                ports.source(group, topics[:1]), TracedHandler(requested), letters, ports.clock, wide, metrics
            ),
            "finished": Consumer(
                ports.source(f"{group}-finished", topics[1:]),
                finished,
                letters,
                ports.clock,
                settings.consumer,
                metrics,
            ),
        }

    def _pump(self, letters: TopicLetters, metrics: ConsumerMetrics) -> RetryPump:
        settings, ports = self.settings, self.ports
        topics = [
            TopicSpec(name, topic.partitions, topic.replication)
            for topic in topics_of(settings)
            for name in retry_topics(topic.name, settings.letters.steps)
        ]
        source = ports.source(f"{settings.topics.group}-retries", topics)
        return RetryPump(source, ports.letters, letters, ports.clock, settings.letters, metrics)
