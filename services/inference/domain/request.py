"""The work of one Generate call, rebuilt from an allowlist of fields (convert.py)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Sampling:
    """Sampling of every choice; None leaves the model's own default. `max_tokens` bounds new tokens of this attempt."""

    max_tokens: int
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float | None = None
    logit_bias: dict[int, float] = field(default_factory=dict)
    logprobs: int | None = None
    n: int = 1
    min_tokens: int = 0
    ignore_eos: bool = False


@dataclass(frozen=True, slots=True)
class Guided:
    """A grammar for the output: exactly one field is set."""

    json_schema: str | None = None
    json_object: bool = False
    regex: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function the model may call; `parameters_json` is a JSON Schema as text, "" = no arguments."""

    name: str
    description: str
    parameters_json: str
    strict: bool = False


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode`: "none", "auto", "required" or "named" (then `name`)."""

    mode: str = "none"
    name: str = ""
    parallel: bool = True


@dataclass(frozen=True, slots=True)
class ResumeChoice:
    """What the client already has of one choice: all its output tokens, and how many characters per channel.

    `finished` = generate nothing more for it; `max_tokens` bounds its new tokens, 0 = as Sampling says.
    """

    choice: int
    token_ids: tuple[int, ...]
    text_sent: int
    reasoning_sent: int
    finished: bool = False
    max_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Common:
    """Fields of both prompt forms."""

    request_id: str
    sampling: Sampling
    guided: Guided | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = field(default_factory=ToolChoice)
    adapter: str = ""
    session: str = ""
    call_seed: str = ""
    epoch: int = 0
    parse_reasoning: bool = True


@dataclass(frozen=True, slots=True)
class TokenWork:
    """Work for a token engine. `prompt` excludes `resume`; the adapter joins them as its engine needs."""

    common: Common
    prompt: list[int]
    cache_salt: str = ""
    resume: tuple[ResumeChoice, ...] = ()


@dataclass(frozen=True, slots=True)
class MessagesWork:
    """Work for a message engine: turns in OpenAI's message form."""

    common: Common
    messages: list[dict[str, Any]]
