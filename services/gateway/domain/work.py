"""What a worker is asked to do: the call's constant part, and the part that differs between attempts.

Made for every call and never changed: not frozen, because that triples the cost of making them.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass

from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest


@dataclass(slots=True)
class Work:
    """A prepared call for one model variant. `prompt` is token ids as little-endian uint32; None = the engine takes
    the turns themselves, and `prompt_tokens` is not known before it answers.

    `max_tokens` bounds the answer of each choice; 0 leaves it to the engine (engines that take turns only).
    """

    request_id: str
    request: ChatRequest
    info: ModelInfo
    prompt: bytes | None
    prompt_tokens: int
    max_tokens: int
    cache_salt: str
    session: str
    # What the model stands for as a variant, by whose price it is sold; "" = itself.
    pool: str = ""


@dataclass(slots=True)
class ChoiceResume:
    """What the client has of one choice: its tokens, characters per channel, and what it may still get."""

    choice: int
    tokens: array[int]
    text_sent: int
    reasoning_sent: int
    finished: bool
    max_tokens: int


@dataclass(slots=True)
class Attempt:
    """One attempt: `epoch` counts from 0 and marks its deltas; `resume` is empty when the answer starts anew."""

    epoch: int
    max_tokens: int
    min_tokens: int = 0
    resume: tuple[ChoiceResume, ...] = ()
