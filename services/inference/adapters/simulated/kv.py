"""A KV cache in blocks, counted as vLLM counts: only full blocks are shared, freed ones stay until they are needed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence


class BlockPool:
    """Blocks by content hash. Freed blocks wait, least recently used first, the tail of a sequence before its head.

    With `tells` it remembers what came and went, for `changes`.
    """

    def __init__(self, blocks: int, *, tells: bool = False) -> None:
        self._blocks, self._blank = blocks, blocks
        self._in_use: dict[int, int] = {}
        self._kept: OrderedDict[int, None] = OrderedDict()
        self._tells = tells
        self._came: dict[int, None] = {}
        self._went: dict[int, None] = {}

    @property
    def available(self) -> int:
        """Blocks that a request could get now."""
        return self._blank + len(self._kept)

    @property
    def use(self) -> float:
        """Share of blocks that running requests hold, 0..1."""
        return 1 - self.available / self._blocks

    def known(self, hashes: Sequence[int]) -> int:
        """How many leading blocks are here."""
        for count, key in enumerate(hashes):
            if key not in self._in_use and key not in self._kept:
                return count
        return len(hashes)

    def share(self, hashes: Sequence[int]) -> None:
        """Holds blocks that are here."""
        for key in hashes:
            self._kept.pop(key, None)
            self._in_use[key] = self._in_use.get(key, 0) + 1

    def take(self) -> bool:
        """Holds one empty block; False when there is none."""
        if self._blank:
            self._blank -= 1
        elif self._kept:
            key, _ = self._kept.popitem(last=False)
            if self._tells:
                _note(key, self._went, self._came)
        else:
            return False
        return True

    def fill(self, key: int) -> None:
        """A block that was taken is full from now on; one of the same content is shared instead."""
        if key in self._in_use or key in self._kept:
            self._blank += 1
        elif self._tells:
            _note(key, self._came, self._went)
        self.share((key,))

    def release(self, hashes: Sequence[int], blank: int) -> None:
        """Gives full and `blank` other blocks back."""
        self._blank += blank
        for key in reversed(hashes):
            self._in_use[key] -= 1
            if not self._in_use[key]:
                del self._in_use[key]
                self._kept[key] = None

    def changes(self) -> tuple[list[int], list[int]]:
        """Full blocks that have come and that have gone since the last call; those that did both are in neither."""
        if not self._came and not self._went:
            return [], []
        came, went = list(self._came), list(self._went)
        self._came, self._went = {}, {}
        return came, went


def _note(key: int, here: dict[int, None], there: dict[int, None]) -> None:
    """Puts the key down, or takes back that it did the opposite."""
    if key in there:
        del there[key]
    else:
        here[key] = None
