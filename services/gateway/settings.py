"""Settings of the gateway."""

from __future__ import annotations

import ipaddress
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from libs.errors import PlatformError
from libs.files import FileSettings
from libs.kafka import KafkaSettings
from libs.money import AmountError
from libs.rpc.settings import RpcServerSettings
from libs.settings import ServiceSettings, SettingsGroup
from libs.valkey import ValkeySettings
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.cached_answer import SECONDS_MAX
from services.gateway.domain.prices import price_of
from services.gateway.jobs_settings import JobsEdgeSettings
from services.gateway.work_settings import InsideSettings, WorkSettings

Transport = Literal["trunk", "grpc"]


class RestSettings(SettingsGroup):
    """The REST port."""

    # Loopback unless told otherwise; 0.0.0.0 serves the network, which needs keys.
    host: str = "127.0.0.1"
    # 0 = any free port, which the log names.
    port: int = Field(default=8080, ge=0, le=65535)
    # A window of a million tokens is about 4 MiB of text. Larger bodies cost memory before anything is known of them.
    body_bytes_max: int = Field(default=16 * 2**20, ge=1024, le=512 * 2**20)
    # Each takes a file descriptor and some 20 KiB; beyond it a new one gets 503. Too low turns waiting agents away.
    connections_max: int = Field(default=10_000, ge=1)
    # A client that connects, or begins a request, and does not send its head is cut (to the second).
    header_timeout_seconds: float = Field(default=30.0, gt=0.0, le=600.0)
    # A client that takes longer to send its body is cut. Too low cuts large contexts on slow lines.
    body_timeout_seconds: float = Field(default=30.0, gt=0.0, le=600.0)
    # How long a stream's headers wait for its first delta, so that 429, 503 and the worker's name can be in them.
    # Longer risks time-outs of clients and proxies; 0 gives headers up at once.
    header_hold_seconds: float = Field(default=5.0, ge=0.0, le=120.0)
    # Silence until a comment is sent, which keeps proxies from closing the stream.
    ping_seconds: float = Field(default=5.0, gt=0.0, le=120.0)
    # A client that takes nothing for so long is cut and its work aborted: an engine cannot wait.
    write_stall_seconds: float = Field(default=5.0, gt=0.0, le=300.0)
    # What is buffered for one client before its stream waits. Small cuts bursts up, large costs memory times clients.
    write_buffer_bytes: int = Field(default=65_536, ge=4096, le=16 * 2**20)


class GrpcSettings(RpcServerSettings):
    """The public gRPC port: keys as over REST, no internal token."""

    port: int = Field(default=8090, ge=0, le=65535)
    # Without a deadline of its own a call gets the same as over REST.
    deadline_default_seconds: float | None = Field(default=600.0, gt=0.0)


class RouterEdgeSettings(SettingsGroup):
    """How the router is reached."""

    address: str = "127.0.0.1:8101"
    # Further replicas, host:port each: all are used, and one that is lost is passed by within a quarter of a second.
    replicas: tuple[str, ...] = ()
    # "grpc" goes through proxies that know gRPC only; the trunk costs a third of it.
    transport: Transport = "trunk"


class InferenceEdgeSettings(SettingsGroup):
    """How workers are reached; their addresses come from the router."""

    transport: Transport = "trunk"


class LimitSettings(SettingsGroup):
    """What one request may ask for; what passes a limit is a 400 that names it."""

    # Agents resend their history: thousands of short messages are real. Each costs some microseconds to check.
    messages_max: int = Field(default=4096, ge=1, le=100_000)
    # Above any window that is served: the window decides, this only refuses nonsense early.
    max_tokens_max: int = Field(default=1_048_576, ge=1)
    # Each choice takes an engine slot of its own.
    n_max: int = Field(default=16, ge=1, le=128)
    # A template shows all of them to the model.
    tools_max: int = Field(default=512, ge=1, le=4096)
    # Each is matched against every token.
    stop_max: int = Field(default=16, ge=1, le=64)
    # Answer tokens when the client names no max_tokens. High values let one runaway answer hold its memory for minutes.
    default_answer_tokens_max: int = Field(default=4096, ge=1)
    # Deadline of a call from its first byte to its last.
    timeout_seconds: float = Field(default=600.0, gt=0.0, le=86_400.0)


class SessionSettings(SettingsGroup):
    """What this process remembers of sessions."""

    # Idle life of a session's owner in the store; the same as the router's bindings.ttl_seconds.
    ttl_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    # About 400 bytes each; beyond it the least recently used is asked for again.
    cached_max: int = Field(default=100_000, ge=1000)
    # How long an owner is believed without asking the store. 0 asks on every call.
    fresh_seconds: float = Field(default=60.0, ge=0.0)
    # How long a bound session goes where it is bound without asking the router, which spares each step a hop. Any
    # change among the workers ends it at once. 0 asks on every call; high values keep a session for longer where
    # another gateway has moved it away from.
    placement_seconds: float = Field(default=30.0, ge=0.0, le=300.0)


class QueueSettings(SettingsGroup):
    """Where calls wait for a place among those under way; one limit and one queue per model."""

    # The longest wait; the call's own deadline may end it earlier. 0 = no queue: refusals go to the client at once.
    # High values keep clients waiting that would be served sooner elsewhere.
    wait_seconds_max: float = Field(default=30.0, ge=0.0, le=3600.0)
    # Where a queue has stood for a quarter of this, a call is refused at once that would wait for longer than this and
    # than calls take (so that as many wait as run). Keep it well under the patience of callers: who gives up has waited
    # in vain. High values turn an overload into long waits for all; low values refuse bursts that would be over soon.
    standing_seconds: float = Field(default=1.0, ge=0.05, le=3600.0)
    # How long most calls may wait inside a worker before fewer are sent there. Low values leave workers idle between
    # calls; high ones move the queue into the workers, where it is neither fair nor known.
    worker_wait_ms: float = Field(default=50.0, ge=1.0, le=60_000.0)
    # Calls under way per worker before anything is learned, and the most of a model that are ever learned to be right.
    inflight_start: int = Field(default=32, ge=1, le=4096)
    inflight_max: int = Field(default=4096, ge=1, le=100_000)
    # Places that one tenant's calls may have while others wait; alone it may have all. 1 = no bound: one tenant's long
    # answers can then leave the others their turns only.
    tenant_share: float = Field(default=0.5, gt=0.0, le=1.0)
    # Jobs' calls begin while less than this share of the places is taken, by whatever calls; the rest stays free for
    # bursts of live calls. 1 = they take all that is free, and live calls wait for one of them to end.
    background_share: float = Field(default=0.75, ge=0.0, le=1.0)
    # Beyond either a call is refused at once, or one that waits makes way for it: of lower priority, or of the tenant
    # that has most of them. Each takes the memory of its prompt.
    waiting_max: int = Field(default=1024, ge=1, le=100_000)
    tenant_max: int = Field(default=1024, ge=1, le=100_000)
    # When a refused call tries again if its worker named no time. Low values ask full workers again and again.
    retry_seconds: float = Field(default=0.5, ge=0.01, le=60.0)
    # Waiting so long counts as much as one step of priority, within a tenant. High values let low priorities wait.
    ageing_seconds: float = Field(default=5.0, gt=0.0, le=3600.0)


class BreakerSettings(SettingsGroup):
    """When a worker is left alone, and for how long; one breaker per life of a worker and model, in every gateway."""

    # Failures without a success between them. Low values leave a worker alone for a coincidence; high values cost as
    # many calls, each of which has to go elsewhere.
    failures_in_a_row: int = Field(default=5, ge=1, le=1000)
    # Or this share of the window's calls, once there are `calls_min`. 1 = only when all of them fail.
    failure_share: float = Field(default=0.5, gt=0.0, le=1.0)
    calls_min: int = Field(default=20, ge=1, le=100_000)
    window_seconds: float = Field(default=10.0, ge=1.0, le=600.0)
    # The first pause; it doubles with every probe that fails, up to the second. Low values probe a dead worker with
    # clients' calls more often; high values leave a worker idle that is well again.
    open_seconds: float = Field(default=1.0, ge=0.1, le=600.0)
    open_seconds_max: float = Field(default=30.0, ge=0.1, le=3600.0)
    # A worker that owes a word for so long is asked whether it lives, and has a quarter of a second to say so. Low
    # values ask busy workers again and again; high values leave calls on a dead one for longer.
    suspect_seconds: float = Field(default=0.4, ge=0.1, le=60.0)
    # One that lives may be silent for so long, beside the prefill of what it was sent, while others answer. An engine
    # that prefills without chunks is silent while another gateway's long prompt runs: then raise it.
    stuck_seconds: float = Field(default=2.3, ge=0.5, le=600.0)
    # Whatever other workers do: the longest time to first token beside the prefill, and the longest silence of a call.
    # Low values break calls of models that reason in silence; high values leave a call on a worker that forgot it.
    first_token_seconds: float = Field(default=120.0, ge=1.0, le=3600.0)
    gap_seconds: float = Field(default=30.0, ge=1.0, le=3600.0)
    # A worker is slow when it is so many times slower than the median of the model's others, and beyond these limits.
    # Low values take workers away for a passing load; high values leave a slow one in its place.
    slow_factor: float = Field(default=4.0, ge=1.5, le=1000.0)
    slow_first_token_seconds: float = Field(default=1.0, ge=0.05, le=600.0)
    slow_gap_seconds: float = Field(default=0.1, ge=0.001, le=600.0)
    # How long a request is remembered under which a worker died; one that two have died under is refused as long. Low
    # values let it kill again sooner; high values keep out for longer what merely ran there when two machines failed.
    quarantine_seconds: float = Field(default=120.0, ge=1.0, le=86_400.0)


class LedgerSettings(SettingsGroup):
    """How holds are kept alive."""

    # A hold that is not renewed for so long has lost its gateway. It is renewed three times in a lease. Low values end
    # holds of gateways that are merely slow; high values keep what a dead one held from others for longer.
    lease_seconds: float = Field(default=15.0, ge=1.0, le=600.0)
    # How long the workers are asked what they have sent, before the last reported progress has to do.
    grace_seconds: float = Field(default=10.0, ge=1.0, le=600.0)
    # The store's sync interval and a margin: acknowledged ends are told again when it restarts within so long.
    sure_seconds: float = Field(default=3.0, ge=0.0, le=600.0)
    # After a restart of the store: the longest wait for other gateways to declare their holds. Low values let a slow
    # one's last second be spent twice; high values delay the first calls where a gateway is gone too.
    barrier_seconds: float = Field(default=3.0, ge=0.0, le=60.0)


class AccountsSettings(SettingsGroup):
    """What this process remembers of accounts."""

    # About 600 bytes each; beyond it a key is looked up again, which costs its call a millisecond.
    keys_cached_max: int = Field(default=10_000, ge=100)
    # How long remembered keys stand in for a store that is away. Paid calls are refused all the same. High values let
    # a key that was revoked meanwhile read for longer.
    stale_seconds: float = Field(default=300.0, ge=1.0, le=86_400.0)


class OutboxSettings(SettingsGroup):
    """How what the ledger decided leaves the store. Without kafka.brokers it stays there."""

    topic: str = Field(default="headrace.usage.v1", pattern=r"^[A-Za-z0-9._-]{1,249}$")
    # Only for a topic that is created here. Tenants are spread over partitions: consumers can be as many. It cannot be
    # lowered later, and raising it breaks the order of a tenant's events.
    partitions: int = Field(default=12, ge=1, le=1_000)
    # Copies of each partition; -1 = what the brokers have as their default. Three where kafka.durable is on.
    replication: int = Field(default=-1, ge=-1, le=32)
    # The longest time until a tenant that rested is looked at. Low values read more; high values publish later.
    idle_seconds_max: float = Field(default=10.0, ge=0.25, le=600.0)
    # Of one tenant at a time, some 600 bytes each.
    entries_max: int = Field(default=500, ge=1, le=10_000)


class PriceSettings(SettingsGroup):
    """What a model or pool costs while no price of it is stored, in dollars per million tokens."""

    model: str
    input_usd_per_million: Decimal
    output_usd_per_million: Decimal
    # For prompt tokens found in the prefix cache; empty = as much as other prompt tokens.
    cached_usd_per_million: Decimal | None = None

    def price(self) -> Price:
        """As it is counted. Raises AmountError or PlatformError."""
        return price_of(
            self.model, self.input_usd_per_million, self.cached_usd_per_million, self.output_usd_per_million
        )


class IdempotencySettings(SettingsGroup):
    """Answers under an Idempotency-Key."""

    # How long an answer is sent again for its key. Each takes some 40 bytes of the store's memory per token.
    keep_seconds: float = Field(default=86_400.0, ge=60.0, le=30 * 86_400.0)
    # A longer answer is not kept: its key then gets 409. High values let a few calls fill the store.
    answer_bytes_max: int = Field(default=4 * 2**20, ge=1024, le=64 * 2**20)
    # An owner that is silent for so long is taken for dead, and another gateway goes on with its answers. Low values
    # take answers away from busy gateways; beyond ledger.lease_seconds the call is settled and begun anew.
    lease_seconds: float = Field(default=5.0, ge=1.0, le=60.0)
    # How often a call looks for more of an answer that another one makes. Low values ask the store more often.
    poll_seconds: float = Field(default=0.05, ge=0.005, le=5.0)


class CachedAnswerSettings(SettingsGroup):
    """Stored answers that stand in where no worker can answer, of keys that take them."""

    # An hour at most, and up to a tenth less, so that they do not all end at once. Low values leave longer outages
    # without stand-ins.
    keep_seconds: float = Field(default=3600.0, ge=1.0, le=SECONDS_MAX)
    # Of one tenant; its oldest make room. Each takes its text in the store's memory, 64 Ki characters at most.
    answers_max: int = Field(default=5_000, ge=1, le=1_000_000)


class RecordSettings(SettingsGroup):
    """Records of requests: what is kept of whom is the tenant's policy (`records` of a tenant)."""

    # Where they are; empty = <state_dir>/blobs. Several gateways share it: a record is read wherever it was written.
    directory: Path | None = None
    # A record is found by other gateways after so long; a crash loses texts and explanations of so long, never money.
    flush_seconds: float = Field(default=2.0, gt=0.0, le=60.0)
    # A batch is written at once when so many, or so many bytes of text, wait. Small ones make many small files.
    batch_records: int = Field(default=1000, ge=1, le=100_000)
    batch_bytes: int = Field(default=4 * 2**20, ge=4096, le=64 * 2**20)
    # What may wait while the disk or the store is away. Beyond waiting_bytes_max records come without texts, beyond
    # waiting_max there is none; both are counted.
    waiting_max: int = Field(default=50_000, ge=100)
    waiting_bytes_max: int = Field(default=64 * 2**20, ge=0, le=16 * 2**30)
    # Text kept of one request, answer first, then the latest turns: an agent's earlier ones are in earlier records.
    text_characters_max: int = Field(default=262_144, ge=1024, le=16 * 2**20)
    # Off writes faster, and the machine's crash (not the process's) may lose or empty the last files.
    fsync: bool = True
    # How often what is past its tenant's days is looked for. A day is deleted when all of it is past.
    purge_seconds: float = Field(default=3600.0, ge=1.0, le=86_400.0)
    # IPv4 addresses become [IP] too. Off: logs that agents read are full of harmless ones.
    redact_addresses: bool = False


class GatewaySettings(ServiceSettings):
    """Everything the gateway can be told."""

    service: ClassVar[str] = "gateway"

    # Names this replica in logs, metrics and traces; empty = "gateway-" and the process id.
    name: str = ""
    rest: RestSettings = RestSettings()
    grpc: GrpcSettings = GrpcSettings()
    router: RouterEdgeSettings = RouterEdgeSettings()
    inference: InferenceEdgeSettings = InferenceEdgeSettings()
    valkey: ValkeySettings = ValkeySettings()
    limits: LimitSettings = LimitSettings()
    jobs: JobsEdgeSettings = JobsEdgeSettings()
    inside: InsideSettings = InsideSettings()
    work: WorkSettings = WorkSettings()
    # The jobs service reads and writes the same files: both have the same blobs.
    files: FileSettings = FileSettings()
    sessions: SessionSettings = SessionSettings()
    queue: QueueSettings = QueueSettings()
    breakers: BreakerSettings = BreakerSettings()
    idempotency: IdempotencySettings = IdempotencySettings()
    cached_answers: CachedAnswerSettings = CachedAnswerSettings()
    ledger: LedgerSettings = LedgerSettings()
    kafka: KafkaSettings = KafkaSettings()
    outbox: OutboxSettings = OutboxSettings()
    accounts: AccountsSettings = AccountsSettings()
    records: RecordSettings = RecordSettings()
    # A model without a price, here or stored by the admin API, is refused: nothing is free by accident.
    prices: tuple[PriceSettings, ...] = ()
    # JSON list of hashed keys, begun by `headrace up` and imported into the store; empty = <state_dir>/keys.json.
    keys_file: Path | None = None
    # Secret behind the hashes and the cache salts, mode 600; empty = <state_dir>/pepper.
    pepper_file: Path | None = None
    # How soon a changed account counts here, and a changed keys file; each look costs the store some microseconds.
    keys_poll_seconds: float = Field(default=0.25, gt=0.0, le=0.5)
    # Serves callers without a key, all as one tenant. Refused unless both ports are on loopback.
    anonymous: bool = False

    @property
    def keys_path(self) -> Path:
        """Where the keys are."""
        return self.keys_file or self.state_dir / "keys.json"

    @property
    def blobs_path(self) -> Path:
        """Where request records are."""
        return self.records.directory or self.state_dir / "blobs"

    @property
    def pepper_path(self) -> Path:
        """Where the pepper is."""
        return self.pepper_file or self.state_dir / "pepper"

    def price_list(self) -> tuple[Price, ...]:
        """The prices as they are counted."""
        return tuple(each.price() for each in self.prices)

    @model_validator(mode="after")
    def _prices_can_be_kept(self) -> Self:
        try:
            names = {price.model for price in self.price_list()}
        except (AmountError, PlatformError) as problem:
            raise ValueError(f"prices: {problem}") from None
        if len(names) < len(self.prices):
            raise ValueError("prices: a model is named twice; give each model one price")
        return self

    @model_validator(mode="after")
    def _a_taker_comes_before_the_hold_expires(self) -> Self:
        if self.idempotency.lease_seconds >= self.ledger.lease_seconds:
            raise ValueError(
                "idempotency.lease_seconds must be less than ledger.lease_seconds: who takes an answer over is to find "
                "its hold alive"
            )
        return self

    @model_validator(mode="after")
    def _anonymous_on_loopback_only(self) -> Self:
        if self.anonymous and not (is_loopback(self.rest.host) and is_loopback(self.grpc.host)):
            raise ValueError("anonymous works on loopback only: set rest.host and grpc.host to 127.0.0.1, or use keys")
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address; names other than localhost are not trusted to stay local."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
