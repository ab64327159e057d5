"""Header names that are no text: other clients may write any bytes, kafka-python reads UTF-8 or nothing at all.

It gives up at such a record, so the records behind it would never be read, and those before it again and again.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import Any

from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

_STAND_IN = ord("?")
# Length, attributes, time and offset of a record, before its key.
_NUMBERS_BEFORE_KEY = 4


def read_any_names() -> None:
    """From then on such bytes are read as "?". A repeat changes nothing."""
    read = DefaultRecordBatch._read_msg
    if getattr(read, "reads_any_names", False):
        return

    def read_mended(batch: Any) -> Any:
        try:
            return read(batch)
        except UnicodeDecodeError:
            mend(batch._buffer, batch._pos)
            return read(batch)

    read_mended.reads_any_names = True  # type: ignore[attr-defined]
    DefaultRecordBatch._read_msg = read_mended


def mend(buffer: MutableSequence[int], start: int) -> None:
    """Puts "?" in place of each byte of the record's header names that is not ASCII, in names that are no UTF-8.

    The record begins at `start`, as https://kafka.apache.org/documentation/#record lays it out.
    """
    at = start
    for _ in range(_NUMBERS_BEFORE_KEY):
        _, at = decode_varint(buffer, at)
    for _ in ("key", "value"):
        at = _after_bytes(buffer, at)
    count, at = decode_varint(buffer, at)
    for _ in range(count):
        size, at = decode_varint(buffer, at)
        _mend_name(buffer, at, size)
        at = _after_bytes(buffer, at + size)


def _after_bytes(buffer: MutableSequence[int], at: int) -> int:
    """Behind a value with its size; -1 stands for none."""
    size, at = decode_varint(buffer, at)
    return int(at + max(size, 0))


def _mend_name(buffer: MutableSequence[int], at: int, size: int) -> None:
    try:
        bytes(buffer[at : at + size]).decode()
    except UnicodeDecodeError:
        for place in range(at, at + size):
            if buffer[place] >= 0x80:
                buffer[place] = _STAND_IN
