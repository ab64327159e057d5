"""Settings of the jobs service."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from libs.files import FileSettings
from libs.kafka import KafkaSettings
from libs.kafka.letter_settings import LetterSettings
from libs.kafka.settings import ConsumerSettings
from libs.rpc.dial import Transport
from libs.rpc.settings import RpcServerSettings
from libs.settings import ServiceSettings, SettingsGroup
from libs.valkey import ValkeySettings
from services.jobs.accept_settings import AcceptSettings, ProducerSettings, WatchSettings
from services.jobs.webhook_settings import WebhookSettings

Role = Literal["api", "consumer"]


class EdgeSettings(SettingsGroup):
    """How neighbours are reached."""

    # host:port of the gateways' inside ports; all are used, and one that is lost is passed by.
    gateways: tuple[str, ...] = Field(default=("127.0.0.1:8102",), min_length=1)
    # For the capacity of pools. Every router sees all workers, so one that answers is enough.
    routers: tuple[str, ...] = Field(default=("127.0.0.1:8101",), min_length=1)
    # "grpc" goes through proxies that know gRPC only; the trunk costs a third of it.
    transport: Transport = "trunk"
    # For one try at setting a job's cost aside. A thousand long requests are counted in seconds; a limit below that
    # refuses jobs that a patient caller would get.
    reserve_seconds: float = Field(default=30.0, ge=1.0, le=600.0)


class AttemptSettings(SettingsGroup):
    """How parts are run."""

    # Messages of requested jobs that are worked on at once, most of them waiting for room. Low values leave capacity
    # idle when many short parts follow each other; each costs the memory of its requests.
    parts_max: int = Field(default=64, ge=1, le=10_000)
    # Requests of one part at once. 1 runs a part in order; above the gate's room it changes nothing.
    steps_max: int = Field(default=16, ge=1, le=1_000)
    # A part whose consumer is silent for so long is sent again. It is renewed three times in a lease, which also tells
    # progress and hears of a cancel. Low values write more and take parts from busy consumers; the work of the two
    # meets in the gateway, so that costs no second answer.
    lease_seconds: float = Field(default=15.0, ge=1.0, le=3600.0)
    # A part that was begun so often without being ended or given back kills its consumers: it becomes a dead letter.
    # Low values give up parts that a rolling restart interrupted; high ones let poison take down more processes.
    attempts_max: int = Field(default=8, ge=1, le=1_000)
    # A request that fails for a reason that passes is tried again in its place for so long, then its part goes to the
    # retry topics. 0 goes there at once; high values keep a place for work that cannot be done.
    patience_seconds: float = Field(default=20.0, ge=0.0, le=3600.0)
    # What runs gets so long when the process stops; then its part is given back, and its answer goes on at the gateway,
    # where the next attempt finds it. 0 gives all back at once, for others to take up; more than `drain.grace_seconds`
    # is that. High values let a rollout wait for answers that nobody need wait for.
    stop_seconds: float = Field(default=2.0, ge=0.0, le=3600.0)
    # The first pause between such tries; it doubles, to the second, and is spread by half.
    retry_seconds: float = Field(default=0.25, ge=0.01, le=60.0)
    retry_seconds_max: float = Field(default=5.0, ge=0.1, le=600.0)


class GateSettings(SettingsGroup):
    """When a job's request may start: only while its pool has room beyond what live calls need."""

    # Of the slots that live calls leave, the share that jobs take, all consumers together. 1 takes what the next live
    # call would have found; low values leave capacity idle.
    share: float = Field(default=0.75, gt=0.0, le=1.0)
    # Of all slots of a pool, the most that jobs may have, however idle it is. A slot is given back only when its answer
    # ends, so this bounds what a burst of live calls finds taken.
    share_max: float = Field(default=0.5, gt=0.0, le=1.0)
    # Of all slots, those that are left to live calls beyond what they have at the moment. 0 lets them queue behind jobs
    # when they become more than they lately were.
    headroom: float = Field(default=0.15, ge=0.0, le=0.9)
    # The most that live calls had in this time is left to them too. Short values follow every lull and are in the way
    # of the next peak; long ones leave capacity idle after it.
    memory_seconds: float = Field(default=10.0, ge=1.0, le=3600.0)
    # Calls that wait so long inside the workers halve what jobs may have; so does a refusal.
    wait_ms_max: int = Field(default=20, ge=0, le=60_000)
    # Without news of a pool for so long nothing starts there; the router speaks once a second.
    silence_seconds: float = Field(default=2.5, ge=1.0, le=60.0)
    # Requests at once for a name whose capacity the router does not tell ("auto"); refusals lower it.
    blind_max: int = Field(default=4, ge=1, le=1_000)
    # Waiting so long counts as much as one step of priority, within a tenant. High values let low priorities wait.
    ageing_seconds: float = Field(default=60.0, gt=0.0, le=86_400.0)
    # Where all of attempts.parts_max are taken, a request that found no room for so long gives its part's place to
    # others and comes back as long after. Low values write more; high ones let a full pool hold up the jobs of others.
    held_seconds: float = Field(default=120.0, ge=1.0, le=86_400.0)


class AgendaSettings(SettingsGroup):
    """How what is due is looked for."""

    # The pause after a tenant was looked at in vain; it doubles, to the second. Low values ask the store more often;
    # high ones send later what somebody else left undone. What this process did itself is followed up at once. Of more
    # than 2,500 tenants each is looked at more seldom than the second says: 500 looks a second are enough.
    pace_seconds: float = Field(default=0.25, ge=0.01, le=60.0)
    pace_seconds_max: float = Field(default=5.0, ge=0.1, le=600.0)
    # Taken at once of one tenant.
    claim_max: int = Field(default=100, ge=1, le=1_000)
    # Who took something and died has had so long. Low values let a slow release or file be done twice (which does no
    # harm); high ones delay it after a crash.
    lease_seconds: float = Field(default=30.0, ge=1.0, le=3600.0)
    # A message that nobody has begun for so long after it was sent is sent again, unless this process has a backlog.
    # Low values fill the topic with repeats; high ones keep waiting what a broker lost.
    resend_seconds: float = Field(default=60.0, ge=1.0, le=86_400.0)


class TopicSettings(SettingsGroup):
    """The topics of jobs."""

    # Consumers of one group share the work. Another group would do all of it again, in vain.
    group: str = Field(default="headrace-jobs", min_length=1, max_length=200)
    # Only for topics that are created here: as many processes can consume. Raising it later is possible.
    partitions: int = Field(default=12, ge=1, le=1_000)
    # Copies of each partition; -1 = what the brokers have as their default. Three where kafka.durable is on.
    replication: int = Field(default=-1, ge=-1, le=32)


class StoreSettings(ValkeySettings):
    """Not on the way of live calls, so a slow store is waited for: longer than a gateway may."""

    connect_timeout_ms: int = Field(default=1_000, ge=1, le=10_000)
    op_timeout_ms: int = Field(default=1_000, ge=5, le=10_000)


class PortSettings(RpcServerSettings):
    """Where gateways find this service."""

    port: int = Field(default=8104, ge=0, le=65535)


class JobsSettings(ServiceSettings):
    """Everything the jobs service can be told."""

    service: ClassVar[str] = "jobs"

    # Names this replica in logs, metrics and traces; empty = "jobs-" and a random id.
    name: str = ""
    # "api" takes and tells of jobs, "consumer" runs them and follows the agenda; apart they scale apart.
    roles: tuple[Role, ...] = Field(default=("api", "consumer"), min_length=1)
    rpc: PortSettings = PortSettings()
    edge: EdgeSettings = EdgeSettings()
    valkey: StoreSettings = StoreSettings()
    # Brokers are needed: jobs travel through Kafka. While none answers, jobs are accepted and wait in the store.
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    # `inflight_max` is attempts.parts_max here.
    consumer: ConsumerSettings = ConsumerSettings()
    letters: LetterSettings = LetterSettings()
    accept: AcceptSettings = AcceptSettings()
    watch: WatchSettings = WatchSettings()
    # Services that submit jobs through Kafka, with signed messages. Empty = none: jobs come through gateways only.
    producers: tuple[ProducerSettings, ...] = ()
    attempts: AttemptSettings = AttemptSettings()
    gate: GateSettings = GateSettings()
    agenda: AgendaSettings = AgendaSettings()
    # Where large requests, results and files are; empty = <state_dir>/blobs. Gateways and all replicas share it.
    blobs_directory: Path | None = None
    # The gateway has the same group: uploads come through it.
    files: FileSettings = FileSettings()
    # Between two looks for files past their time, which are not shown from then on. Low values read all descriptions of
    # files more often; high ones keep the disk full for longer.
    files_purge_seconds: float = Field(default=3600.0, ge=1.0)
    webhooks: WebhookSettings = WebhookSettings()
    # An ended job is told of for so long. Files have a life of their own.
    keep_days: float = Field(default=7.0, gt=0.0, le=3650.0)

    @property
    def blobs_path(self) -> Path:
        """Where blobs are."""
        return self.blobs_directory or self.state_dir / "blobs"

    @property
    def consumes(self) -> bool:
        """Whether jobs are run here."""
        return "consumer" in self.roles

    @model_validator(mode="after")
    def _brokers_are_listed(self) -> Self:
        if not self.kafka.brokers:
            raise ValueError("kafka.brokers is empty: jobs travel through Kafka; list its brokers (`headrace up` does)")
        return self

    @model_validator(mode="after")
    def _pauses_grow(self) -> Self:
        if self.attempts.retry_seconds > self.attempts.retry_seconds_max:
            raise ValueError("attempts.retry_seconds must be at most attempts.retry_seconds_max")
        if self.agenda.pace_seconds > self.agenda.pace_seconds_max:
            raise ValueError("agenda.pace_seconds must be at most agenda.pace_seconds_max")
        return self
