"""Settings of the router."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from libs.rpc.dial import Transport
from libs.rpc.settings import RpcServerSettings
from libs.settings import LogSettings, ServiceSettings, SettingsGroup
from libs.valkey import ValkeySettings


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
    """How new sessions are spread."""

    # Bounded loads: no worker takes new work beyond this multiple of the mean. 1.0 spreads evenly and breaks affinity
    # at the first difference; very large is plain hashing, in which the luckiest worker may get far more than that.
    load_factor: float = Field(default=1.25, ge=1.0, le=1000.0)
    # Workers named in one plan. 1 leaves the gateway nothing to go on to; more than it may try only costs bytes.
    places_max: int = Field(default=4, ge=1, le=64)


class BindingSettings(SettingsGroup):
    """Session → worker bindings."""

    # Idle life of a session in the store, its owner included; each gateway and router lengthens and none shortens it.
    ttl_seconds: int = Field(default=86_400, ge=60, le=30 * 86_400)
    # Sessions that this process knows without asking, about 0.5 KiB each. 0 is not possible: every call would ask.
    cache_size_max: int = Field(default=100_000, ge=1000, le=10_000_000)
    # After so long without a call a session leaves the cache and no longer counts as its worker's load.
    cache_idle_seconds: float = Field(default=600.0, ge=1.0)
    # A cached binding is compared with the store this often, in the background; it bounds how long two replicas can
    # disagree. Lower is more store traffic.
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
    bindings: BindingSettings = BindingSettings()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.bindings.recheck_seconds > self.bindings.ttl_seconds / 4:
            raise ValueError("bindings.recheck_seconds must be at most a quarter of bindings.ttl_seconds")
        if len(set(self.workers)) != len(self.workers):
            raise ValueError("workers must be distinct addresses")
        return self
