"""A hash table from block hashes to sets of workers that numpy asks for all blocks of a prompt at once.

Block hashes are uniform already, so their low bits name a bucket of four slots. A slot is one 64-bit number, block and
workers in one: its bucket's number implies the low bits of the hash, so that these are free to say who lacks the block.
The exclusive or of slot and hash is then who lacks it, below 2^16, and a larger number for all other blocks. One gather
and one comparison look up a whole prompt: 4,096 blocks among 400,000 take 0.1 ms, where a dict of the same content
takes 0.5 ms when its memory is warm and several when it is not. It takes 36 to 72 bytes a block.

A bucket that is full sends what comes next to a dict beside the table: with at most one block per bucket on average,
one block in 300.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from libs.block_hash import Hashes

Positions = NDArray[np.int64]

# Workers of one table: bits of a set of them, which need as many bits of a bucket's number.
WORKERS = 16
# As those who lack a block: nobody has it.
NOBODY = (1 << WORKERS) - 1
WAYS = 4
_WAY_BITS = 2
_BUCKETS_FIRST = 1 << WORKERS
# Blocks per bucket, on average, at which the table doubles.
_LOAD_MAX = 1.0
# Slots that are gone through at once where it is all of them: what is made on the way stays in the processor's cache.
_CHUNK = 1 << 14
_NOBODY = np.uint64(NOBODY)


class BlockTable:
    """`size` blocks are held. Batches given to `add` and `remove` have no hash twice (`numpy.unique`).

    `bit` is one worker's, below 2^16.
    """

    def __init__(self) -> None:
        # Who lacks what found no room in the table.
        self._spilt: dict[int, int] = {}
        self._in_table = 0
        self._hold(_free(0, _BUCKETS_FIRST))

    @property
    def size(self) -> int:
        """Blocks that somebody holds."""
        return self._in_table + len(self._spilt)

    @property
    def bytes_used(self) -> int:
        """Memory of the arrays."""
        return self._slots.nbytes + self._claims.nbytes

    def lacking(self, hashes: Hashes) -> Hashes:
        """Item i: who lacks one of the blocks from 0 to i. Ends before the first block that all lack so."""
        _, found, hits = self._look(hashes)
        lack = found.take(hits) if len(hits) == len(hashes) else self._leading(hashes, found, hits)
        all_lack: Hashes = np.bitwise_or.accumulate(lack)
        if len(all_lack) and all_lack.item(-1) == NOBODY:
            all_lack = all_lack[: int((all_lack == _NOBODY).argmax())]
        return all_lack

    def _look(self, hashes: Hashes) -> tuple[Positions, Hashes, Positions]:
        """The bucket of each hash; its four slots less the hash; and which of these say who lacks it, ascending.

        Flat arrays and "clip" (no index can be out of bounds): numpy's loops over rows of four, and its checks, cost
        more than the copies.
        """
        buckets = (hashes & self._mask).view(np.int64)
        found = self._buckets.take(buckets, 0, None, "clip").ravel()
        found ^= hashes.repeat(WAYS)
        return buckets, found, (found < _NOBODY).nonzero()[0]

    def _leading(self, hashes: Hashes, found: Hashes, hits: Positions) -> Hashes:
        """Item i: who lacks block i, to the first block that is neither in the table nor spilt."""
        count = len(hits)
        unbroken = not count or hits.item(-1) >> _WAY_BITS == count - 1  # none is missing before the last hit
        if unbroken and (not self._spilt or hashes.item(count) not in self._spilt):
            return found.take(hits)
        # How many blocks are missing before each hit: ascends.
        missing = (hits >> _WAY_BITS) - np.arange(len(hits))
        before: list[int] = []
        spilt: list[int] = []
        while True:
            end = int(missing.searchsorted(len(spilt), side="right"))
            row = end + len(spilt)
            lack = self._spilt.get(int(hashes[row])) if self._spilt and row < len(hashes) else None
            if lack is None:
                break
            before.append(end)
            spilt.append(lack)
        lacks = found.take(hits[:end])
        return np.insert(lacks, before, np.array(spilt, np.uint64)) if spilt else lacks

    def add(self, hashes: Hashes, bit: int) -> int:
        """`bit` holds these blocks too. Returns for how many it did not before."""
        buckets, found, hits = self._look(hashes)
        rows = hits >> _WAY_BITS
        came = (found.take(hits) & np.uint64(bit)) != 0
        self._slots[_positions(buckets[rows], hits)[came]] ^= np.uint64(bit)
        unknown = np.ones(len(hashes), bool)
        unknown[rows] = False
        missing = hashes[unknown]
        spilt = 0
        if self._spilt and len(missing):
            kept = [key for key in missing.tolist() if key in self._spilt]
            if kept:
                spilt = sum(self._join_spilt(key, bit) for key in kept)
                missing = missing[~np.isin(missing, np.array(kept, np.uint64))]
        if self._in_table + len(missing) > _LOAD_MAX * (len(self._slots) >> _WAY_BITS):
            self._grow(self._in_table + len(missing))
        self._insert(missing, np.full(len(missing), NOBODY ^ bit, np.uint64))
        return int(np.count_nonzero(came)) + spilt + len(missing)

    def remove(self, hashes: Hashes, bit: int) -> int:
        """`bit` holds these blocks no more. Returns for how many it did."""
        buckets, found, hits = self._look(hashes)
        rows = hits >> _WAY_BITS
        lack = found.take(hits)
        held = (lack & np.uint64(bit)) == 0
        self._leave(_positions(buckets[rows], hits)[held], lack[held], bit)
        gone = int(np.count_nonzero(held))
        if self._spilt and len(rows) < len(hashes):
            missing = np.ones(len(hashes), bool)
            missing[rows] = False
            gone += sum(self._leave_spilt(key, bit) for key in hashes[missing].tolist())
        return gone

    def holding(self, hashes: Hashes, bit: int) -> Hashes:
        """Those of these blocks that `bit` holds."""
        _, found, hits = self._look(hashes)
        held = hashes[hits[(found.take(hits) & np.uint64(bit)) == 0] >> _WAY_BITS]
        spilt = [key for key in hashes.tolist() if not self._spilt.get(key, NOBODY) & bit] if self._spilt else []
        return np.append(held, np.array(spilt, np.uint64)) if spilt else held

    def clear(self, bit: int) -> int:
        """`bit` holds nothing any more. Returns how much it held. Reads the whole table: 2 ms for 400,000 blocks."""
        gone = sum(self._leave_spilt(key, bit) for key in list(self._spilt))
        for first in range(0, len(self._slots), _CHUNK):
            slots = self._slots[first : first + _CHUNK]
            lack = slots.astype(np.uint16) ^ _low_bits(first, len(slots))
            positions = ((lack & np.uint16(bit)) == 0).nonzero()[0]
            self._leave(first + positions, lack[positions].astype(np.uint64), bit)
            gone += len(positions)
        return gone

    def _leave(self, positions: Positions, lack: Hashes, bit: int) -> None:
        self._slots[positions] ^= np.uint64(bit)
        empty = positions[(lack | np.uint64(bit)) == _NOBODY]
        self._slots[empty] = (empty >> _WAY_BITS).view(np.uint64) ^ _NOBODY
        self._in_table -= len(empty)

    def _join_spilt(self, key: int, bit: int) -> bool:
        lack = self._spilt[key]
        self._spilt[key] = lack & ~bit
        return bool(lack & bit)

    def _leave_spilt(self, key: int, bit: int) -> bool:
        lack = self._spilt.get(key, NOBODY)
        if lack & bit:
            return False
        if lack | bit == NOBODY:
            del self._spilt[key]
        else:
            self._spilt[key] = lack | bit
        return True

    def _insert(self, hashes: Hashes, lack: Hashes) -> None:
        """Puts distinct hashes that are not there. Each round fills one slot per bucket; what finds none is spilt."""
        while len(hashes):
            buckets = (hashes & self._mask).view(np.int64)
            kept = self._buckets.take(buckets, 0, None, "clip")
            free = kept == (buckets.view(np.uint64) ^ _NOBODY)[:, None]
            room = free.any(axis=1)
            if not room.all():
                self._spilt.update(zip(hashes[~room].tolist(), lack[~room].tolist(), strict=True))
                hashes, lack, buckets, free = hashes[room], lack[room], buckets[room], free[room]
            # Of those that want one bucket, the one that is written last has it: no sorting.
            order = np.arange(len(hashes), dtype=np.int32)
            self._claims[buckets] = order
            first = self._claims[buckets] == order
            slots = (buckets[first] << _WAY_BITS) | free[first].argmax(axis=1)
            self._slots[slots] = hashes[first] ^ lack[first]
            self._in_table += len(slots)
            hashes, lack = hashes[~first], lack[~first]

    def _grow(self, size: int) -> None:
        """Doubles until there is room: each bucket's blocks stay, or go to its twin, by the next bit of their hash."""
        while _LOAD_MAX * (len(self._slots) >> _WAY_BITS) < size:
            half = len(self._slots)
            buckets = np.uint64(half >> _WAY_BITS)
            doubled = np.empty(2 * half, np.uint64)
            for first in range(0, half, _CHUNK):
                slots = self._slots[first : first + _CHUNK]
                end, free = first + len(slots), _free(first >> _WAY_BITS, (first + len(slots)) >> _WAY_BITS)
                goes = (slots & buckets) != 0
                doubled[first:end] = np.where(goes, free, slots)
                doubled[half + first : half + end] = np.where(goes, slots, free | buckets)
            self._hold(doubled)
        spilt, self._spilt = self._spilt, {}
        self._insert(np.array(list(spilt), np.uint64), np.array(list(spilt.values()), np.uint64))

    def _hold(self, slots: Hashes) -> None:
        self._slots = slots
        self._buckets = slots.reshape(-1, WAYS)  # the same memory
        self._mask = np.uint64((len(slots) >> _WAY_BITS) - 1)
        self._claims = np.empty(len(slots) >> _WAY_BITS, np.int32)


def _free(first: int, end: int) -> Hashes:
    """Free slots of these buckets: a block with no more to its hash than its bucket's number, which all lack."""
    return (np.arange(first, end, dtype=np.uint64) ^ _NOBODY).repeat(WAYS)


def _low_bits(first: int, count: int) -> NDArray[np.uint16]:
    """Of the numbers of the buckets that `count` slots from `first` on belong to."""
    return np.arange(first >> _WAY_BITS, (first + count) >> _WAY_BITS).astype(np.uint16).repeat(WAYS)


def _positions(buckets: Positions, hits: Positions) -> Positions:
    """The slots of these hits in their buckets."""
    return (buckets << _WAY_BITS) | (hits & (WAYS - 1))
