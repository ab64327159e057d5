"""Which blocks each worker's cache holds, from the workers' own words.

A worker's blocks are a set: it tells each block once when it comes and once when the last copy goes, so that a repeat
changes nothing. Runs are exact: a block counts when all blocks before it are held as well, whatever order the engine
evicts in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from libs.block_hash import Hashes
from services.router.domain.block_table import BlockTable

# Bits of a set of workers in one table.
WORKERS_PER_TABLE = 64
# A first look at long prompts: most that are long are new to all workers, or nearly so.
_FIRST_BLOCKS = 256


class BlockIndex:
    """Of workers by their slots, small numbers that the caller deals out; a slot is `clear`ed before its next owner."""

    def __init__(self) -> None:
        self._tables: list[BlockTable] = []
        self._held: dict[int, int] = {}

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
            table = slot // WORKERS_PER_TABLE
            while len(self._tables) <= table:
                self._tables.append(BlockTable())
            self._held[slot] = self.held(slot) + self._tables[table].add(_distinct(hashes), _bit(slot))

    def drop(self, slot: int, hashes: Hashes) -> None:
        """The worker has them no more."""
        if len(hashes) and self.held(slot):
            self._held[slot] -= self._tables[slot // WORKERS_PER_TABLE].remove(_distinct(hashes), _bit(slot))

    def clear(self, slot: int) -> None:
        """The worker has nothing."""
        if self._held.pop(slot, 0):
            self._tables[slot // WORKERS_PER_TABLE].clear(_bit(slot))

    def runs(self, hashes: Hashes) -> Runs:
        """Who has how much of a prompt, from its first block on."""
        found: list[tuple[int, int]] = []
        for number, table in enumerate(self._tables):
            steps = _steps(table, hashes)
            if number:
                steps = [(end, holders << number * WORKERS_PER_TABLE) for end, holders in steps]
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
        held = table.run(hashes)
    else:
        held = table.run(hashes[:_FIRST_BLOCKS])
        if len(held) == _FIRST_BLOCKS:
            rest = table.run(hashes[_FIRST_BLOCKS:]) & held[-1]
            held = np.concatenate((held, rest[rest != 0]))
    count = len(held)
    if not count:
        return []
    first, last = held.item(0), held.item(count - 1)
    if first == last:
        return [(count, last)]
    lasts: list[int] = (held[1:] != held[:-1]).nonzero()[0].tolist()
    return [*[(at + 1, held.item(at)) for at in lasts], (count, last)]


def _bit(slot: int) -> int:
    return 1 << slot % WORKERS_PER_TABLE


def _distinct(hashes: Hashes) -> Hashes:
    return np.unique(hashes) if len(hashes) > 1 else hashes
