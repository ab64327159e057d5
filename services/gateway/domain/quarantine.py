"""Requests that workers died of: known by a fingerprint, so that the third worker is spared (design: section 11)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from services.gateway.domain.turns import ChatRequest

# Lives of workers that a request has cost; from then on it is sent to none.
DEATHS_MAX = 2
_FINGERPRINT_BYTES = 16
_encoder = msgspec.msgpack.Encoder(enc_hook=repr)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A request under which workers died: how many, and for how many seconds that is remembered."""

    fingerprint: str
    characters: int
    deaths: int
    seconds: float


def fingerprint(request: ChatRequest, secret: bytes) -> str:
    """32 hex digits over all that an engine gets of the request, the same under every model and on every gateway.

    Keyed, so that the store tells nobody whether a guessed prompt was sent. Some microseconds per kilobyte: only taken
    where somebody is under suspicion.
    """
    shape = (request.turns, request.sampling, request.guided, request.tools, request.tool_choice)
    key = hashlib.blake2b(secret, digest_size=_FINGERPRINT_BYTES).digest()
    return hashlib.blake2b(_encoder.encode(shape), digest_size=_FINGERPRINT_BYTES, key=key).hexdigest()


def characters(request: ChatRequest) -> int:
    """How long the request's texts are: tells nearly all others from a suspect without a hash."""
    return sum([len(turn.text) for turn in request.turns])


class Suspects:
    """Those that this gateway knows of. Times are `Clock.monotonic` seconds."""

    __slots__ = ("_by_fingerprint", "_lengths")

    def __init__(self) -> None:
        self._by_fingerprint: dict[str, tuple[int, float]] = {}
        # Those of cleared ones stay until the next `replace`: that costs a hash and nothing else.
        self._lengths: set[int] = set()

    def __len__(self) -> int:
        """How many are under suspicion."""
        return len(self._by_fingerprint)

    def replace(self, suspects: Iterable[Suspect], now: float) -> None:
        """Takes over what the store has."""
        self._by_fingerprint, self._lengths = {}, set()
        for suspect in suspects:
            self.add(suspect, now)

    def add(self, suspect: Suspect, now: float) -> None:
        """One more, or one that is known with another number."""
        self._by_fingerprint[suspect.fingerprint] = (suspect.deaths, now + suspect.seconds)
        self._lengths.add(suspect.characters)

    def discard(self, fingerprint: str) -> None:
        """It is not under suspicion any more."""
        self._by_fingerprint.pop(fingerprint, None)

    def may_hold(self, size: int) -> bool:
        """Whether one of them is as long as that."""
        return size in self._lengths

    def find(self, fingerprint: str, now: float) -> tuple[int, float]:
        """Deaths, and seconds for which they count; (0, 0) = none."""
        deaths, until = self._by_fingerprint.get(fingerprint, (0, 0.0))
        return (deaths, until - now) if until > now else (0, 0.0)
