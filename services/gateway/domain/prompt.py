"""A prompt before and after tokenising."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.turns import Tool, Turn


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a template renders. `now` is the date it may print: frozen per session, or every midnight loses caches."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    now: datetime


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """`packed`: ids as little-endian uint32; `count` of them, of which `fresh` were tokenised for this call."""

    packed: bytes
    count: int
    fresh: int = 0
