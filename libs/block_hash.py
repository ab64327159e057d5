"""Salted hashes of KV blocks: what a router may know of prompts and caches without knowing either.

Block i's hash stands for the tokens of blocks 0 to i, the adapter and the salt, so that equal hashes mean an equal
prefix of the same tenant. The gateway hashes prompts with it, the worker its engine's KV events; both must agree to the
bit. A collision costs a wrong guess about a cache, never a wrong answer.

A polynomial hash over 64 bits with keyed multipliers (multilinear hashing: J. Carter and M. Wegman, "Universal Classes
of Hash Functions", JCSS 18(2), 1979). Without the salt, prompts with equal hashes cannot be made; and numpy hashes all
blocks of a prompt at once, where a chain of cryptographic hashes takes a call for each.
"""

from __future__ import annotations

import hashlib
import struct
from functools import lru_cache
from operator import mul

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

HASH_BYTES = 8
_MASK = (1 << 64) - 1
# 64-bit finaliser of MurmurHash3 (A. Appleby, public domain) and its inverse's multipliers.
_MIX_1, _MIX_2 = 0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53
_UNMIX_1, _UNMIX_2 = pow(_MIX_1, -1, 1 << 64), pow(_MIX_2, -1, 1 << 64)
_KEYS_KEPT = 4096
# Blocks hashed in one go. A key keeps as many powers, so that one long prompt of every tenant takes no memory for good:
# 16 KiB for each of those keys.
_RUN = 1024


class _Key:
    """Multipliers of one (salt, adapter, block size): `root` is where block 0 starts, `step` leads on."""

    def __init__(self, salt: str, adapter: str, block_tokens: int) -> None:
        secret = hashlib.blake2b(f"{len(salt)}\0{salt}{adapter}".encode(), digest_size=32).digest()
        stream = hashlib.shake_256(secret).digest(8 * (block_tokens + 2))
        numbers = np.frombuffer(stream, dtype="<u8").astype(np.uint64) | np.uint64(1)
        self.root, self.step = int(numbers[0]), int(numbers[1])
        self.weights: Hashes = numbers[2:]
        self.factors: tuple[int, ...] = tuple(self.weights.tolist())
        self._forward = np.empty(0, dtype=np.uint64)
        self._backward = self._forward

    def powers(self, count: int) -> tuple[Hashes, Hashes]:
        """step^(i+1) and step^-(i+1) for i below `count`, modulo 2^64; at most `_RUN` of them are asked for."""
        if len(self._forward) < count:
            size = max(64, 1 << (count - 1).bit_length())
            self._forward = _powers(self.step, size)
            self._backward = _powers(pow(self.step, -1, 1 << 64), size)
        return self._forward[:count], self._backward[:count]


def block_hashes(tokens: bytes, block_tokens: int, salt: str, adapter: str = "", parent: int | None = None) -> Hashes:
    """Hashes of the full blocks of packed little-endian uint32 `tokens`, in order.

    They go on behind the block whose hash is `parent`; None = from the start of the prompt. ValueError for a block size
    below 1.
    """
    if block_tokens < 1:
        raise ValueError(f"a block has at least one token, not {block_tokens}")
    count = len(tokens) // (4 * block_tokens)
    if not count:
        return np.empty(0, dtype=np.uint64)
    key = _key(salt, adapter, block_tokens)
    blocks = np.frombuffer(tokens, dtype="<u4", count=count * block_tokens).reshape(count, block_tokens)
    contents = _mixed(blocks.astype(np.uint64) @ key.weights)
    start = key.root if parent is None else _unmixed(parent)
    # h[i] = step * h[i-1] + content[i], without the loop: h[i] = step^(i+1) * (start + sum of content[j] / step^(j+1)).
    for first in range(0, count, _RUN):
        run = contents[first : first + _RUN]
        forward, backward = key.powers(len(run))
        run *= backward
        run.cumsum(out=run)
        run += np.uint64(start)
        run *= forward
        start = int(run[-1])
    return _mixed(contents)


def block_hash(block: bytes, salt: str, adapter: str = "", parent: int | None = None) -> int:
    """The hash of one full block, for growing sequences: `block_hashes` of one, without numpy's 15 microseconds a call.

    The length of `block` (packed as above) is the block size. ValueError when it is empty.
    """
    if not block:
        raise ValueError("a block has at least one token, not 0")
    key = _key(salt, adapter, len(block) // 4)
    content = _mixed_one(sum(map(mul, struct.unpack(f"<{len(block) // 4}I", block), key.factors)) & _MASK)
    start = key.root if parent is None else _unmixed(parent)
    return _mixed_one((key.step * start + content) & _MASK)


def packed(hashes: Hashes) -> bytes:
    """As it crosses the wire: 8 bytes each, little-endian."""
    return hashes.astype("<u8", copy=False).tobytes()


def unpacked(wire: bytes) -> Hashes:
    """The reverse of `packed`; a rest below 8 bytes is left out."""
    return np.frombuffer(wire, dtype="<u8", count=len(wire) // HASH_BYTES)


@lru_cache(maxsize=_KEYS_KEPT)
def _key(salt: str, adapter: str, block_tokens: int) -> _Key:
    return _Key(salt, adapter, block_tokens)


def _powers(base: int, count: int) -> Hashes:
    return np.cumprod(np.full(count, base, dtype=np.uint64), dtype=np.uint64)


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> np.uint64(33))) * np.uint64(_MIX_1)
    values = (values ^ (values >> np.uint64(33))) * np.uint64(_MIX_2)
    return values ^ (values >> np.uint64(33))


def _mixed_one(value: int) -> int:
    value = (value ^ value >> 33) * _MIX_1 & _MASK
    value = (value ^ value >> 33) * _MIX_2 & _MASK
    return value ^ value >> 33


def _unmixed(value: int) -> int:
    value ^= value >> 33
    value = value * _UNMIX_2 & _MASK
    value ^= value >> 33
    value = value * _UNMIX_1 & _MASK
    return value ^ value >> 33
