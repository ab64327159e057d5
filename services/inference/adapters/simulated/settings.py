"""Settings of the simulated engine."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class SimulatedSettings(BaseModel):
    """Pace, cache and limits; and faults, which are off unless asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Time to the first token beside the prefill; what a real engine spends on scheduling and sampling.
    ttft_ms: float = Field(default=0.0, ge=0)
    # Time of an engine step, in which every running request gets a token. 0 = as fast as the CPU can.
    inter_token_ms: float = Field(default=0.0, ge=0)
    # Time per prompt token that the prefix cache does not hold. A 7B model on one GPU: about 0.1.
    prefill_ms_per_token: float = Field(default=0.0, ge=0)
    # KV cache: tokens per block, the unit of prefix reuse, and blocks. One block holds nothing beside one request.
    block_tokens: int = Field(default=16, ge=1)
    blocks: int = Field(default=16_384, ge=1)
    # Choices that run at once, and that wait beyond them; the next is refused with OVERLOADED.
    running_max: int = Field(default=1024, ge=1)
    waiting_max: int = Field(default=1024, ge=0)
    # Length of the session that Capacity.sessions counts. 0 = the window.
    session_tokens: int = Field(default=0, ge=0)
    # Probability of the end of the answer at each token; 0 = every answer has max_tokens.
    eos_probability: float = Field(default=0.0, ge=0, le=1)
    # "words": tokens that are whole characters; "all": also tokens that cut characters, as real models emit for emoji.
    vocabulary: Literal["words", "all"] = "words"
    # Draw from so many tokens only (0 = all of the above): few tokens repeat, so that penalties show.
    vocabulary_max: int = Field(default=0, ge=0)
    # Seed for requests without one. Workers that take over from each other need the same.
    seed: int = 0
    logprobs_max: int = Field(default=20, ge=0)
    # Whether resumed tokens are fed to the grammar. Off = as engines whose grammar knows new tokens only.
    resume_guided: bool = True
    # Text of each token is "@<CLOCK_MONOTONIC ns> ", the moment the worker wrote it, for measuring transit.
    stamp: bool = False
    # A fault for every request: "die@N", "hang@N", "slow@N:MS" (from output token N on), "refuse". "" = none.
    fault: str = Field(default="", pattern=r"^(|refuse|(die|hang)@\d+|slow@\d+:\d+)$")
    # Obey "fault:<as above>" anywhere in a request's session name. For tests: anyone could stop the worker.
    faults_by_session: bool = False
