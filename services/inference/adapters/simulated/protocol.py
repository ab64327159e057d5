"""What worker and engine process say to each other: length-prefixed msgpack, one message per engine step."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

_LENGTH = struct.Struct("<I")


class Start(msgspec.Struct, array_like=True, tag="start"):
    """The engine's constants. `words`: packed ids to draw from; times in seconds; `tells_blocks`: steps say which KV
    blocks came and went.
    """

    words: bytes
    eos: int
    eos_probability: float
    ttft: float
    inter_token: float
    prefill_per_token: float
    block_tokens: int
    blocks: int
    running_max: int
    tells_blocks: bool = False


class Add(msgspec.Struct, array_like=True, tag="add"):
    """One choice of a request. `prompt` and `output` (resumed tokens) are packed ids; `script` = forced tokens."""

    key: int
    prompt: bytes
    output: bytes
    salt: str
    seed: int
    max_tokens: int
    min_tokens: int
    ignore_eos: bool
    stop_ids: list[int]
    presence: float
    frequency: float
    repetition: float
    bias: dict[int, float]
    logprobs: int
    script: list[int] | None
    script_at: int


class Abort(msgspec.Struct, array_like=True, tag="abort"):
    """Forget a choice."""

    key: int


Command = Start | Add | Abort


class Out(msgspec.Struct, array_like=True, gc=False):
    """A token of one choice. `cached` and `queue_seconds` come with the first one, -1 = not this time."""

    key: int
    token: int
    finish: str | None = None
    stop_token: int | None = None
    cached: int = -1
    queue_seconds: float = 0.0
    logprobs: list[tuple[int, float]] | None = None


class StepOut(msgspec.Struct, array_like=True, gc=False):
    """An engine step: every running choice's token, and the engine's load after it. `stored` and `dropped`: packed
    hashes of the full KV blocks that came and went since the last one.
    """

    outs: list[Out]
    running: int
    waiting: int
    kv_use: float
    stored: bytes = b""
    dropped: bytes = b""


_encoder = msgspec.msgpack.Encoder()


def packed_hashes(hashes: Sequence[int]) -> bytes:
    """As `libs.block_hash.packed`, for the few of a step."""
    return struct.pack(f"<{len(hashes)}Q", *hashes) if hashes else b""


def frame(message: msgspec.Struct) -> bytes:
    """The message with its length before it."""
    body = _encoder.encode(message)
    return _LENGTH.pack(len(body)) + body


class Frames:
    """Cuts a byte stream into message bodies."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """All bodies that are complete now."""
        buffer = self._buffer
        buffer += data
        bodies, at = [], 0
        while len(buffer) - at >= 4:
            end = at + 4 + _LENGTH.unpack_from(buffer, at)[0]
            if len(buffer) < end:
                break
            bodies.append(bytes(buffer[at + 4 : end]))
            at = end
        del buffer[:at]
        return bodies
