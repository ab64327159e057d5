"""Identifiers. Random ones take their randomness as an argument, derived ones are functions of their inputs."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable

RandomBytes = Callable[[int], bytes]


def request_id(random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """A new request id, "chatcmpl-" and 24 hex digits (96 bits)."""
    return "chatcmpl-" + random_bytes(12).hex()


def boot_id(random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """A new id of one life of a process, 16 hex digits."""
    return random_bytes(8).hex()


def tool_call_id(call_seed: str, choice: int, ordinal: int) -> str:
    """The id of a tool call: the same on every attempt of a request, so that a resumed stream keeps it."""
    digest = hashlib.sha256(f"{call_seed}/{choice}/{ordinal}".encode()).hexdigest()
    return "call_" + digest[:24]
