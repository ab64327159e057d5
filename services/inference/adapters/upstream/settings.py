"""Settings of the upstream engine."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class UpstreamSettings(BaseModel):
    """Where the endpoint is and what it can do; what it cannot is refused here, never dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Base URL up to and with the version, such as "https://api.openai.com/v1". Required for this engine.
    url: str = Field(default="", pattern=r"^(|https?://\S+)$")
    # The model's name there; "" = model.name.
    model: str = ""
    # File with the API key, mode 600; None = the endpoint wants none. The key is never logged.
    key_file: Path | None = None
    # To connect; short, because another candidate may be tried.
    connect_seconds: float = Field(default=5.0, gt=0)
    # Longest silence of a response, before its first byte too. Reasoning models may think for minutes.
    idle_seconds: float = Field(default=120.0, gt=0)
    # Pause between questions whether an endpoint that could not be reached is back.
    probe_seconds: float = Field(default=2.0, gt=0)
    # Calls at once; the next is refused with OVERLOADED. What the account allows, or less.
    running_max: int = Field(default=256, ge=1)
    # Longest line of an answer's event stream; a longer one fails its call.
    line_bytes_max: int = Field(default=4 * 1024 * 1024, ge=1024)
    # What the endpoint offers beyond plain chat.
    guided: bool = True
    tools: bool = True
    seed: bool = True
    n: bool = True
    penalties: bool = True
    logit_bias: bool = True
    # Name of the field that bounds the answer: OpenAI's newer models want max_completion_tokens.
    max_tokens_field: str = Field(default="max_completion_tokens", pattern=r"^(max_tokens|max_completion_tokens)$")
