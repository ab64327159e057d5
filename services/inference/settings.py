"""Settings of an inference worker."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from libs.rpc.settings import RpcServerSettings
from libs.settings import ServiceSettings, SettingsGroup
from services.inference.adapters.simulated.settings import SimulatedSettings
from services.inference.adapters.upstream.settings import UpstreamSettings
from services.inference.adapters.vllm.settings import VllmSettings


class EngineSettings(SettingsGroup):
    """Which engine, and when it counts as broken."""

    # "vllm" serves a model; "upstream" relays to an OpenAI-compatible endpoint; "simulated" is for load and fault
    # tests and writes nonsense.
    kind: Literal["vllm", "simulated", "upstream"] = "vllm"
    # Longest silence of the engine while calls run. Shorter than the longest prefill takes a busy worker out of
    # service; longer hides a hang from the router for that long.
    stall_seconds: float = Field(default=60.0, gt=0)
    # For loading the model and the first token. A large model from a network disk takes minutes.
    start_seconds: float = Field(default=600.0, gt=0)


class ModelSettings(SettingsGroup):
    """The model and the names it is asked for by."""

    # Directory with weights and tokenizer. Not used by "upstream".
    path: Path = Path(".headrace/models/smollm2-135m-instruct")
    # The model's own name.
    name: str = Field(default="smollm2-135m-instruct", min_length=1)
    # Pools (aliases) that this worker serves, such as small and large.
    pools: tuple[str, ...] = ()
    # Prompt + answer, in tokens. 0 = what the model's config.json says; "upstream" needs it set when it is not 128k.
    window_tokens: int = Field(default=0, ge=0)


class SentSettings(SettingsGroup):
    """How long it is remembered what was sent of a request: what a lost gateway left unsettled is charged by it."""

    # Must pass the time that a lost gateway's holds take to expire, and a while of the store being away on top.
    seconds: float = Field(default=900.0, ge=60.0, le=86_400.0)
    # About 300 bytes each. With fewer, a busy worker forgets sooner, and what was lost is charged at the last progress
    # that was reported.
    entries_max: int = Field(default=200_000, ge=1000)


class KvEventsSettings(SettingsGroup):
    """What watchers hear of the engine's prefix cache: routers place by it."""

    # Off saves the worker 2 to 8 microseconds per block, and vLLM the events; routers then guess at this cache from
    # what they have sent here.
    enabled: bool = True
    # Different blocks that are told; one more is left out, and routers expect less of this cache than it holds. A
    # snapshot of this many is 8 bytes each in one message, which must stay below 8 MiB. Memory: about 100 bytes each.
    blocks_max: int = Field(default=400_000, ge=1, le=1_000_000)


class InferenceSettings(ServiceSettings):
    """One worker: one engine behind one RPC port."""

    service: ClassVar[str] = "inference"

    # Unique among the workers of an installation: logs, traces and x-headrace-worker carry it.
    name: str = Field(default="inference-0", min_length=1, max_length=63, pattern=r"^[A-Za-z0-9._:-]+$")
    rpc: RpcServerSettings = RpcServerSettings(port=8111)
    engine: EngineSettings = EngineSettings()
    model: ModelSettings = ModelSettings()
    vllm: VllmSettings = VllmSettings()
    simulated: SimulatedSettings = SimulatedSettings()
    upstream: UpstreamSettings = UpstreamSettings()
    sent: SentSettings = SentSettings()
    kv_events: KvEventsSettings = KvEventsSettings()
    # How often watchers hear of load. The contract allows 250 ms; routers take a second of silence for death.
    state_beat_ms: int = Field(default=200, ge=10, le=250)
