"""Which blocks each worker's cache holds, from the workers' own words.

A worker's blocks are a set: it tells each block once when it comes and once when the last copy goes, so that a repeat
changes nothing. Runs are exact: a block counts when all blocks before it are held as well, whatever order the engine
evicts in.
"""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heappop, heappush

import numpy as np

from libs.block_hash import Hashes
from services.router.domain.block_table import NOBODY, WORKERS, BlockTable

# A first look at long prompts: most that are long are new to all workers, or nearly so.
_FIRST_BLOCKS = 256


class BlockIndex:
    """Of workers by their slots, which are small numbers."""

    def __init__(self) -> None:
        self._tables: list[BlockTable] = []
        self._held: dict[int, int] = {}
        # Slots up to here are in use, but for those that were given back.
        self._end = 0
        self._unused: list[int] = []

    def take(self) -> int:
        """An empty slot for whoever asks: the smallest that nobody has."""
        if self._unused:
            return heappop(self._unused)
        self._end += 1
        return self._end - 1

    def give_back(self, slot: int) -> None:
        """Nobody has this slot any more, which was taken before."""
        self.clear(slot)
        heappush(self._unused, slot)

    @property
    def blocks(self) -> int:
        """Different blocks that are held."""
        return sum(table.size for table in self._tables)

    @property
    def bytes_used(self) -> int:
        """Memory of the tables."""
        return sum(table.bytes_used for table in self._tables)

    def held(self, slot: int) -> int:
        """Blocks that this worker holds."""
        return self._held.get(slot, 0)

    def store(self, slot: int, hashes: Hashes) -> None:
        """The worker has these blocks."""
        if len(hashes):
            table = slot // WORKERS
            while len(self._tables) <= table:
                self._tables.append(BlockTable())
            self._held[slot] = self.held(slot) + self._tables[table].add(_distinct(hashes), _bit(slot))

    def drop(self, slot: int, hashes: Hashes) -> None:
        """The worker has them no more."""
        if len(hashes) and self.held(slot):
            self._held[slot] -= self._tables[slot // WORKERS].remove(_distinct(hashes), _bit(slot))

    def clear(self, slot: int) -> None:
        """The worker has nothing."""
        if self._held.pop(slot, 0):
            self._tables[slot // WORKERS].clear(_bit(slot))

    def holding(self, slot: int, hashes: Hashes) -> Hashes:
        """Those of these blocks that the worker has, in any order."""
        if not self.held(slot):
            return hashes[:0]
        return self._tables[slot // WORKERS].holding(hashes, _bit(slot))

    def runs(self, hashes: Hashes) -> Runs:
        """Who has how much of a prompt, from its first block on."""
        found: list[tuple[int, int]] = []
        for number, table in enumerate(self._tables):
            steps = _steps(table, hashes)
            if number:
                steps = [(end, holders << number * WORKERS) for end, holders in steps]
            found += steps
        return Runs(found)


class Runs:
    """Blocks from the start of one prompt, by worker."""

    def __init__(self, steps: list[tuple[int, int]]) -> None:
        """(end, bits of slots that hold all blocks before it); of the steps that have a slot, the last counts."""
        self._steps = steps

    def of(self, slots: Sequence[int]) -> list[int]:
        """Length of the longest run from block 0, for each worker."""
        runs = [0] * len(slots)
        for end, holders in self._steps:
            for index, slot in enumerate(slots):
                if holders >> slot & 1:
                    runs[index] = end
        return runs


def _steps(table: BlockTable, hashes: Hashes) -> list[tuple[int, int]]:
    """(end, who holds all blocks before it), shortest first; each has fewer holders than the one before."""
    if len(hashes) <= _FIRST_BLOCKS:
        lack = table.lacking(hashes)
    else:
        lack = table.lacking(hashes[:_FIRST_BLOCKS])
        if len(lack) == _FIRST_BLOCKS:
            rest = table.lacking(hashes[_FIRST_BLOCKS:]) | lack[-1]
            lack = np.concatenate((lack, rest[rest != NOBODY]))
    count = len(lack)
    if not count:
        return []
    first, last = lack.item(0), lack.item(-1)
    if first == last:
        return [(count, last ^ NOBODY)]
    end = int(lack.searchsorted(lack[-1]))  # it ascends, for each has all bits of the one before
    if lack.item(end - 1) == first:
        return [(end, first ^ NOBODY), (count, last ^ NOBODY)]
    ends: list[int] = (lack[1:] != lack[:-1]).nonzero()[0].tolist()
    return [*[(at + 1, lack.item(at) ^ NOBODY) for at in ends], (count, last ^ NOBODY)]


def _bit(slot: int) -> int:
    return 1 << slot % WORKERS


def _distinct(hashes: Hashes) -> Hashes:
    return np.unique(hashes) if len(hashes) > 1 else hashes
