"""Faults on demand: what a test asks a request to suffer."""

from __future__ import annotations

import re
from dataclasses import dataclass

_FAULT = re.compile(r"(refuse)|(die|hang)@(\d+)|(slow)@(\d+):(\d+)")
_IN_SESSION = re.compile(r"fault:(refuse|(?:die|hang)@\d+|slow@\d+:\d+)")


@dataclass(frozen=True, slots=True)
class Fault:
    """`kind` "refuse", "die", "hang" or "slow"; from output token `at` on, by `seconds` each."""

    kind: str
    at: int = 0
    seconds: float = 0.0


def parse(text: str) -> Fault | None:
    """The fault that `text` names; None for ""."""
    found = _FAULT.fullmatch(text)
    if found is None:
        return None
    if found[1]:
        return Fault("refuse")
    if found[2]:
        return Fault(found[2], int(found[3]))
    return Fault("slow", int(found[5]), int(found[6]) / 1000)


def of_session(session: str) -> Fault | None:
    """The fault that a session's name asks for."""
    found = _IN_SESSION.search(session)
    return parse(found[1]) if found else None
