"""Settings of the router."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from libs.rpc.dial import Transport
from libs.rpc.settings import RpcServerSettings
from libs.settings import LogSettings, ServiceSettings, SettingsGroup
from libs.valkey import ValkeySettings
from services.router.policy_settings import (
    PolicySettings,
    ThresholdSettings,
    TiersSettings,
    TrialSettings,
    VariantSettings,
    refuse_ambiguous,
)


class LivenessSettings(SettingsGroup):
    """When a worker is no longer placed on."""

    # Workers speak every 250 ms. Under 500 one late message counts as death; 1000 and more keep a frozen worker in
    # plans for longer than the promised second.
    silence_ms: int = Field(default=800, ge=300, le=10_000)
    # A connection that stays silent for so long is dialled anew: the machine behind it may be gone without a word.
    redial_seconds: float = Field(default=5.0, ge=1.0, le=300.0)
    # Longest pause between attempts to reach a worker; also how late a new one may be noticed.
    reconnect_ms_max: int = Field(default=1000, ge=50, le=60_000)


class PlacementSettings(SettingsGroup):
    """How new sessions are spread. Costs are in tokens that are computed before the prompt's first one."""

    # Bounded loads: beyond this multiple of the mean, and 16, each call of a worker counts as a prompt ahead; where
    # nothing is known of the prompt, the worker takes nothing. 1.0 spreads evenly and breaks affinity at the first
    # difference; very large lets the queue alone decide, or the hash, in which the luckiest gets far more than that.
    load_factor: float = Field(default=1.25, ge=1.0, le=1000.0)
    # What a token of work ahead costs, in tokens that are computed although another worker has them. 1.0 looks at this
    # prompt's first token alone and copies prefixes to idle workers; low keeps prefixes together and waits, since
    # the work saved is everybody's. 0 = longest prefix, whatever the queue.
    queue_share: float = Field(default=0.16, ge=0.0, le=1.0)
    # A running call slows others down by its part of each step: so many tokens. 0 = only queues count.
    running_tokens: float = Field(default=16.0, ge=0.0, le=10_000.0)
    # Share of the uncached tokens sent to a worker in the last minutes that is held against it, so that caches fill
    # evenly before queues show it. 0 = not at all; far above the default it outweighs prefixes.
    balance_share: float = Field(default=0.005, ge=0.0, le=1.0)
    # Use of the KV cache by running calls above which a worker costs more, up to twice the prompt when full. 1 is not
    # possible; 0.99 hardly notices, 0 counts all use against it.
    pressure_start: float = Field(default=0.9, ge=0.0, le=0.99)
    # Part of a sub-agent's prompt that its root session's worker is believed to have when nobody knows better. 0 places
    # sub-agents like all others.
    tree_share: float = Field(default=0.5, ge=0.0, le=1.0)
    # A placed prompt counts as cached for so long, unless the worker says so itself. Shorter than a prefill, and a
    # burst of equal prompts is spread; much longer, and what was evicted is still believed.
    expected_seconds: float = Field(default=10.0, ge=0.1, le=600.0)
    # Blocks of such prompts, 8 bytes each; the oldest go first.
    expected_blocks_max: int = Field(default=2_000_000, ge=1000, le=100_000_000)
    # A worker whose blocks do not add up is asked for all of them again, no more often than this.
    resync_seconds: float = Field(default=10.0, ge=0.1, le=3600.0)
    # Share by which the cached tokens foreseen and found may differ, over some fifty answers, before a worker is asked
    # so too. 0.01 asks for ever, since caches evict between the two; 1 never asks.
    drift_error_max: float = Field(default=0.25, ge=0.01, le=1.0)
    # Workers named in one plan. 1 leaves the gateway nothing to go on to; more than it may try only costs bytes.
    places_max: int = Field(default=4, ge=1, le=64)


class EjectionSettings(SettingsGroup):
    """Workers that do worse than the others of their model are left alone for a while."""

    # Off: gateways' breakers alone keep calls from a worker that fails.
    enabled: bool = True
    # Judged this often, by what was reported since. Shorter judges on less; longer leaves a bad worker in longer.
    interval_seconds: float = Field(default=5.0, ge=1.0, le=600.0)
    # With fewer attempts in it nobody is judged. 1 ejects for one unlucky call.
    attempts_min: int = Field(default=10, ge=1, le=100_000)
    # Share of attempts that failed, beyond the median of the others. 0 is not possible: somebody is always last.
    failure_share: float = Field(default=0.3, ge=0.01, le=1.0)
    # Median time to the first token as a multiple of the others' median, and below how many ms nobody is slow.
    ttft_factor: float = Field(default=4.0, ge=1.5, le=1000.0)
    ttft_ms_min: float = Field(default=500.0, ge=1.0, le=600_000.0)
    # The first ejection lasts so long, the n-th in a row n times, to the maximum. Bound sessions keep their binding.
    base_seconds: float = Field(default=30.0, ge=1.0, le=3600.0)
    seconds_max: float = Field(default=300.0, ge=1.0, le=86_400.0)


class BindingSettings(SettingsGroup):
    """Session → worker bindings."""

    # Idle life of a session in the store, its owner included; each gateway and router lengthens and none shortens it.
    ttl_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    # Sessions that this process knows without asking, about 0.5 KiB each. 0 is not possible: every call would ask.
    cache_size_max: int = Field(default=100_000, ge=1000, le=10_000_000)
    # After so long without a call a session leaves the cache and no longer counts as its worker's load.
    cache_idle_seconds: float = Field(default=600.0, ge=1.0)
    # A cached binding is compared with the store this often, in the background; it bounds how long two replicas can
    # disagree; up to a quarter sooner, so that what came together is not asked together. Lower is more store traffic.
    recheck_seconds: float = Field(default=60.0, ge=1.0)


class RouterSettings(ServiceSettings):
    """Everything the router can be told."""

    service: ClassVar[str] = "router"

    # A line per Place would cost more than placing does, and the gateway has one per request; failures are logged.
    log: LogSettings = LogSettings(access=False)
    rpc: RpcServerSettings = RpcServerSettings(port=8101)
    # host:port of each worker's RPC port. Empty: the router starts and has no model to offer.
    workers: tuple[str, ...] = ()
    # For WatchState and DescribeModel. "grpc" works through proxies that know gRPC only; the trunk is cheaper.
    workers_transport: Transport = "trunk"
    valkey: ValkeySettings = ValkeySettings()
    liveness: LivenessSettings = LivenessSettings()
    placement: PlacementSettings = PlacementSettings()
    ejection: EjectionSettings = EjectionSettings()
    bindings: BindingSettings = BindingSettings()
    # What `auto` chooses from. Empty: calls name their model.
    tiers: TiersSettings = TiersSettings()
    thresholds: ThresholdSettings = ThresholdSettings()
    policy: PolicySettings = PolicySettings()
    # Pool → its variants, for canaries and A/B tests. A pool that has some need not be served under its own name.
    variants: dict[str, tuple[VariantSettings, ...]] = Field(default_factory=dict)
    trials: TrialSettings = TrialSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bindings.recheck_seconds > self.bindings.ttl_seconds / 4:
            raise ValueError("bindings.recheck_seconds must be at most a quarter of bindings.ttl_seconds")
        if len(set(self.workers)) != len(self.workers):
            raise ValueError("workers must be distinct addresses")
        refuse_ambiguous(self.variants)
        return self
