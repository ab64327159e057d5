"""What the gateway knows of a model: its name, its variant, and what its engine can do."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do; what it lacks is a 400 for the client, never silently dropped.

    `logprobs_max` None = no logprobs at all. `resume` = plain streams can be continued from token ids.
    """

    tokens_in: bool = True
    guided: bool = False
    logprobs_max: int | None = None
    n: bool = False
    seed: bool = False
    resume: bool = False
    resume_guided: bool = False
    resume_penalties: bool = False
    tools: bool = False
    reasoning: bool = False
    penalties: bool = False
    logit_bias: bool = False


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A name that clients may use. `pool` names are aliases of `model`; addresses are those of live workers.

    `block_tokens` is the size of a KV block, 0 when the engine tells nothing of its cache. `routed`: the router is to
    be asked which model stands for this name.
    """

    name: str
    model: str
    model_digest: str
    tokenizer_digest: str
    window_tokens: int
    pool: bool = False
    engine: str = ""
    template_tools: bool = False
    capabilities: Capabilities = field(default_factory=Capabilities)
    addresses: tuple[str, ...] = ()
    block_tokens: int = 0
    routed: bool = False
