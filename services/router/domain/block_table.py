"""A hash table from block hashes to sets of workers that numpy asks for all blocks of a prompt at once.

Block hashes are uniform already, so their low bits name a bucket of four slots. One gather and one comparison then
look up a whole prompt: 4,096 blocks among 400,000 take 0.08 ms, where a dict of the same content takes 0.5 ms (its
entries and keys are scattered over memory, and each block costs a Python integer). It takes 64 to 128 bytes a block.

A set of workers is the bits of a 64-bit number. A bucket that is full sends what comes next to a dict beside the table:
with at most one block per bucket on average, one block in 300.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from libs.block_hash import Hashes

Positions = NDArray[np.int64]

WAYS = 4
_WAY_BITS = 2
_BUCKETS_FIRST = 1 << 10
# Blocks per bucket, on average, at which the table doubles.
_LOAD_MAX = 1.0
_NOBODY = np.uint64(0)


class BlockTable:
    """`size` blocks are held. Batches given to `add` and `remove` have no hash twice (`numpy.unique`)."""

    def __init__(self) -> None:
        self._spilt: dict[int, int] = {}
        self._in_table = 0
        self._allocate(_BUCKETS_FIRST)

    @property
    def size(self) -> int:
        """Blocks that somebody holds."""
        return self._in_table + len(self._spilt)

    @property
    def bytes_used(self) -> int:
        """Memory of the arrays."""
        return self._keys.nbytes + self._holders.nbytes

    def run(self, hashes: Hashes) -> Hashes:
        """Item i: who holds all blocks from 0 to i. Ends with the last block that anybody holds so."""
        buckets, hits = self._hits(hashes)
        holders = self._at(buckets, hits) if len(hits) == len(hashes) else self._leading(hashes, buckets, hits)
        held: Hashes = np.bitwise_and.accumulate(holders)
        if len(held) and not held.item(-1):
            held = held[: int((held == _NOBODY).argmax())]
        return held

    def _hits(self, hashes: Hashes) -> tuple[Positions, Positions]:
        """The bucket of each hash, and the ways that hold one: row * WAYS + way, ascending.

        Flat arrays and "clip" (no index can be out of bounds): numpy's loops over rows of four, and its checks, cost
        more than the copies.
        """
        buckets = (hashes & self._mask).view(np.int64)
        kept = self._keys.take(buckets, 0, None, "clip").ravel()
        return buckets, (kept == hashes.repeat(WAYS)).nonzero()[0]

    def _at(self, buckets: Positions, hits: Positions) -> Hashes:
        """Who holds what was hit: whole buckets are fetched, which is less arithmetic than naming slots."""
        return self._buckets.take(buckets, 0, None, "clip").ravel().take(hits)

    def _leading(self, hashes: Hashes, buckets: Positions, hits: Positions) -> Hashes:
        """Item i: who holds block i, to the first block that is neither in the table nor spilt."""
        count = len(hits)
        if not self._spilt or hashes.item(count) not in self._spilt:
            if not count:
                return hits.view(np.uint64)
            if hits.item(-1) >> _WAY_BITS == count - 1:  # none is missing before the last hit
                return self._at(buckets[:count], hits)
        # How many blocks are missing before each hit: ascends.
        missing = (hits >> _WAY_BITS) - np.arange(len(hits))
        before: list[int] = []
        spilt: list[int] = []
        while True:
            end = int(missing.searchsorted(len(spilt), side="right"))
            row = end + len(spilt)
            found = self._spilt.get(int(hashes[row])) if self._spilt and row < len(hashes) else None
            if found is None:
                break
            before.append(end)
            spilt.append(found)
        holders = self._at(buckets[:row], hits[:end])
        return np.insert(holders, before, np.array(spilt, np.uint64)) if spilt else holders

    def add(self, hashes: Hashes, bit: int) -> int:
        """`bit` holds these blocks too. Returns for how many it did not before."""
        before = self._add_known(hashes, np.uint64(bit))
        unknown = hashes[~before[0]]
        if (self._in_table + len(unknown)) > _LOAD_MAX * len(self._keys):
            self._grow(self._in_table + len(unknown))
        self._insert(unknown, np.full(len(unknown), bit, np.uint64))
        return len(unknown) + before[1]

    def _add_known(self, hashes: Hashes, bit: np.uint64) -> tuple[NDArray[np.bool_], int]:
        """Which blocks are known, and for how many of them `bit` came as a holder."""
        rows, positions = self._find(hashes)
        holders = self._holders[positions]
        came = int(np.count_nonzero((holders & bit) == _NOBODY))
        self._holders[positions] = holders | bit
        known = np.zeros(len(hashes), bool)
        known[rows] = True
        if self._spilt:
            for row in (~known).nonzero()[0]:
                key = int(hashes[row])
                found = self._spilt.get(key)
                if found is not None:
                    known[row] = True
                    came += not found & int(bit)
                    self._spilt[key] = found | int(bit)
        return known, came

    def remove(self, hashes: Hashes, bit: int) -> int:
        """`bit` holds these blocks no more. Returns for how many it did."""
        rows, positions = self._find(hashes)
        holders = self._holders[positions]
        held = (holders & np.uint64(bit)) != _NOBODY
        self._leave(positions[held], np.uint64(bit))
        gone = int(np.count_nonzero(held))
        if self._spilt and len(rows) < len(hashes):
            missing = np.ones(len(hashes), bool)
            missing[rows] = False
            gone += sum(self._leave_spilt(key, bit) for key in hashes[missing].tolist())
        return gone

    def clear(self, bit: int) -> int:
        """`bit` holds nothing any more. Returns how much it held. Reads the whole table: 1 ms for 400,000 blocks."""
        positions = ((self._holders & np.uint64(bit)) != _NOBODY).nonzero()[0]
        self._leave(positions, np.uint64(bit))
        return len(positions) + sum(self._leave_spilt(key, bit) for key in list(self._spilt))

    def _leave(self, positions: Positions, bit: np.uint64) -> None:
        holders = self._holders[positions] & ~bit
        self._holders[positions] = holders
        free = positions[holders == _NOBODY]
        self._keys.reshape(-1)[free] = _nobodys_keys(free >> _WAY_BITS)
        self._in_table -= len(free)

    def _leave_spilt(self, key: int, bit: int) -> bool:
        found = self._spilt.get(key, 0)
        if not found & bit:
            return False
        if found == bit:
            del self._spilt[key]
        else:
            self._spilt[key] = found & ~bit
        return True

    def _find(self, hashes: Hashes) -> tuple[Positions, Positions]:
        """Indices of the hashes that are in the table, and their slots."""
        buckets, hits = self._hits(hashes)
        rows = hits >> _WAY_BITS
        return rows, (buckets[rows] << _WAY_BITS) | (hits & (WAYS - 1))

    def _insert(self, hashes: Hashes, holders: Hashes) -> None:
        """Puts distinct hashes that are not there. Each round fills one slot per bucket; what finds none is spilt."""
        while len(hashes):
            buckets = (hashes & self._mask).view(np.int64)
            free = self._buckets.take(buckets, 0) == _NOBODY
            room = free.any(axis=1)
            if not room.all():
                self._spilt.update(zip(hashes[~room].tolist(), holders[~room].tolist(), strict=True))
                hashes, holders, buckets, free = hashes[room], holders[room], buckets[room], free[room]
            _, first = np.unique(buckets, return_index=True)
            slots = (buckets[first] << _WAY_BITS) | free[first].argmax(axis=1)
            self._keys.reshape(-1)[slots] = hashes[first]
            self._holders[slots] = holders[first]
            self._in_table += len(first)
            rest = np.ones(len(hashes), bool)
            rest[first] = False
            hashes, holders = hashes[rest], holders[rest]

    def _grow(self, size: int) -> None:
        buckets = len(self._keys)
        while buckets * _LOAD_MAX < size:
            buckets *= 2
        full = self._holders.nonzero()[0]
        spilt = self._spilt
        hashes = np.append(self._keys.reshape(-1)[full], np.array(list(spilt), np.uint64))
        holders = np.append(self._holders[full], np.array(list(spilt.values()), np.uint64))
        self._spilt, self._in_table = {}, 0
        self._allocate(buckets)
        self._insert(hashes, holders)

    def _allocate(self, buckets: int) -> None:
        self._mask = np.uint64(buckets - 1)
        self._keys = np.repeat(_nobodys_keys(np.arange(buckets)), WAYS).reshape(buckets, WAYS)
        self._holders = np.zeros(buckets * WAYS, np.uint64)
        self._buckets = self._holders.reshape(buckets, WAYS)  # the same memory


def _nobodys_keys(buckets: Positions) -> Hashes:
    """What a free slot of each bucket holds: a hash whose low bits name another bucket, which no question meets."""
    return ~buckets.astype(np.uint64)
