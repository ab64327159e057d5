"""Which KV blocks the engine holds, and what of that watchers have not been told yet."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

from libs.block_hash import packed


@dataclass(frozen=True, slots=True)
class BlockChanges:
    """Hashes that came and went, packed (libs.block_hash), in the order in which they did.

    `cleared`: all that was there before them went first.
    """

    stored: bytes = b""
    dropped: bytes = b""
    cleared: bool = False


NO_CHANGES = BlockChanges()


class CachedBlocks:
    """A set of salted block hashes that counts: an engine may hold a block twice, and it is gone with the last one.

    At most `blocks_max` different ones are kept. Those that come beyond that are left out, not the older ones, which
    they may hang on: a router then expects less of this cache than it holds, never more.
    """

    def __init__(self, blocks_max: int) -> None:
        self._blocks_max = blocks_max
        self._held: dict[int, int] = {}
        self._came: dict[int, None] = {}
        self._went: dict[int, None] = {}
        self._cleared = False
        self._left_out = 0
        self._listeners: list[Callable[[], object]] = []

    def __len__(self) -> int:
        return len(self._held)

    @property
    def left_out(self) -> int:
        """How many blocks were not kept because the set was full."""
        return self._left_out

    @property
    def has_come(self) -> bool:
        """Blocks have come that `take` has not told yet."""
        return bool(self._came)

    def on_stored(self, listener: Callable[[], object]) -> None:
        """Calls back whenever blocks have come."""
        self._listeners.append(listener)

    def stored(self, hashes: Iterable[int]) -> None:
        """The engine holds these, a parent before its children."""
        held, came, went = self._held, self._came, self._went
        for key in hashes:
            count = held.get(key, 0)
            if not count and len(held) >= self._blocks_max:
                self._left_out += 1
                continue
            held[key] = count + 1
            if count:
                continue
            if key in went:
                del went[key]
            else:
                came[key] = None
        if came:
            for listener in self._listeners:
                listener()

    def dropped(self, hashes: Iterable[int]) -> None:
        """The engine has given up one copy of each; unknown ones do nothing."""
        held, came, went = self._held, self._came, self._went
        for key in hashes:
            count = held.get(key, 0)
            if count > 1:
                held[key] = count - 1
            elif count:
                del held[key]
                if key in came:
                    del came[key]
                else:
                    went[key] = None

    def cleared(self) -> None:
        """The engine holds nothing any more, or nobody knows what it holds."""
        self._held, self._came, self._went = {}, {}, {}
        self._cleared = True

    def take(self) -> BlockChanges:
        """What has changed since the last call. A block that has come and gone in between leaves no trace."""
        if not (self._came or self._went or self._cleared):
            return NO_CHANGES
        changes = BlockChanges(_packed(self._came), _packed(self._went), self._cleared)
        self._came, self._went, self._cleared = {}, {}, False
        return changes

    def all(self) -> bytes:
        """Everything that is held, packed, in the order in which it came."""
        return _packed(self._held)


def _packed(hashes: Collection[int]) -> bytes:
    return packed(np.fromiter(hashes, dtype=np.uint64, count=len(hashes))) if hashes else b""
