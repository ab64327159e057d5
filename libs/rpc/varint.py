"""Protobuf's variable-length integers, for the few messages that are written by hand because they are hot."""

from __future__ import annotations

_TABLE_SIZE = 1 << 14


def _spelt(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


# Field tags, lengths, indexes and most token ids are below 2^14: looked up four times as fast as computed.
_TABLE = tuple(map(_spelt, range(_TABLE_SIZE)))


def varint(number: int) -> bytes:
    """The bytes of a number from 0 on."""
    if number < _TABLE_SIZE:
        return _TABLE[number]
    if number < 1 << 21:  # the token ids of large vocabularies
        return bytes((number & 0x7F | 0x80, number >> 7 & 0x7F | 0x80, number >> 14))
    return _spelt(number)
