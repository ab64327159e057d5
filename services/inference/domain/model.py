"""What a model and its engine are: capabilities, capacity, load."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class ResumeForm(StrEnum):
    """How a plain stream can be continued by another worker."""

    NONE = "none"
    TEXT = "text"
    EXACT = "exact"


class PrefixStability(StrEnum):
    """What of a session's prompt the next prompt starts with: nothing sure, the input, input + answer."""

    NONE = "none"
    INPUT = "input"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what it lacks is refused with UNSUPPORTED_PARAMETER, never dropped."""

    tokens_in: bool = True
    guided: bool = False
    logprobs_max: int | None = None
    n: bool = False
    seed: bool = False
    lora: bool = False
    kv_events: bool = False
    cache_salt: bool = False
    resume: ResumeForm = ResumeForm.NONE
    resume_guided: bool = False
    resume_penalties: bool = False
    tools: bool = False
    reasoning: bool = False
    penalties: bool = False
    logit_bias: bool = False


@dataclass(frozen=True, slots=True)
class Capacity:
    """KV cache in blocks of tokens, and concurrency."""

    block_tokens: int
    blocks: int
    running_max: int
    waiting_max: int
    sessions: int
    kv_bytes_per_token: int


@dataclass(frozen=True, slots=True)
class EngineLoad:
    """A moment of an engine. `kv_use` is 0..1; `healthy` is False once it no longer produces."""

    running: int
    waiting: int
    kv_use: float
    healthy: bool


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What DescribeModel says beside capabilities and capacity."""

    worker: str
    boot_id: str
    model: str
    pools: tuple[str, ...]
    model_digest: str
    tokenizer_digest: str
    window_tokens: int
    engine: str
    prefix_stability: PrefixStability = PrefixStability.NONE
    template_tools: bool = False
    adapters: tuple[str, ...] = field(default_factory=tuple)
