"""A prompt before and after tokenising.

Made for every call and never changed: not frozen, because that triples the cost of making them.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.gateway.domain.turns import Tool, Turn


@dataclass(slots=True)
class Prompt:
    """What a template renders. `now` is the date it may print: frozen per session, or every midnight loses caches."""

    turns: tuple[Turn, ...]
    tools: tuple[Tool, ...]
    now: datetime


@dataclass(slots=True)
class EncodedPrompt:
    """`packed`: ids as little-endian uint32; `count` of them, of which `fresh` stand in texts that are new."""

    packed: bytes
    count: int
    fresh: int = 0
