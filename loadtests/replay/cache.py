"""The prefix cache of a simulated worker, by blocks, with vLLM's rules.

A block is shared by its hash. Blocks of running calls are held; the others wait in one queue and are dropped from its
front when room is needed. A call's blocks join that queue tail first, so that of a prefix its end goes before its
beginning (vLLM, `vllm/v1/core/kv_cache_manager.py`: `free` appends in reverse order; `block_pool.py`: the queue).
"""

from __future__ import annotations

from collections import ChainMap, OrderedDict
from collections.abc import Container, Sequence


class BlockCache:
    """At most `capacity` blocks; None = no bound. `dropped` collects what was evicted until it is taken."""

    def __init__(self, capacity: int | None) -> None:
        self._capacity = capacity
        self._held: dict[int, int] = {}
        self._idle: OrderedDict[int, None] = OrderedDict()
        self._private = 0
        self.dropped: list[int] = []

    def __len__(self) -> int:
        return len(self._held) + len(self._idle)

    @property
    def present(self) -> Container[int]:
        """The blocks that are here."""
        return ChainMap(self._held, self._idle)  # type: ignore[arg-type]  # only asked whether a key is in it

    @property
    def use(self) -> float:
        """Share of the blocks that running calls hold; 0 without a bound."""
        return (len(self._held) + self._private) / self._capacity if self._capacity else 0.0

    def match(self, blocks: Sequence[int]) -> int:
        """How many leading blocks are here."""
        held, idle = self._held, self._idle
        return next((n for n, block in enumerate(blocks) if block not in held and block not in idle), len(blocks))

    def take(self, blocks: Sequence[int], private: int) -> int | None:
        """Holds `blocks` and `private` blocks that nobody can share; how many of `blocks` were here from the first on.

        None, and nothing changed, when they do not fit beside what is held.
        """
        hits = self.match(blocks)
        if self._capacity is not None and not self._make_room(blocks, hits, private):
            return None
        for block in blocks:
            self._idle.pop(block, None)
            self._held[block] = self._held.get(block, 0) + 1
        self._private += private
        return hits

    def give_back(self, blocks: Sequence[int], private: int) -> None:
        """Lets go of what `take` held."""
        self._private -= private
        for block in reversed(blocks):
            self._held[block] -= 1
            if not self._held[block]:
                del self._held[block]
                self._idle[block] = None

    def take_dropped(self) -> list[int]:
        """What was evicted since the last time."""
        dropped, self.dropped = self.dropped, []
        return dropped

    def _make_room(self, blocks: Sequence[int], hits: int, private: int) -> bool:
        assert self._capacity is not None  # noqa: S101 -- its caller asks with a bound only
        needed = sum(block not in self._held for block in blocks) + private
        if needed > self._capacity - len(self._held) - self._private:
            return False
        # Blocks behind a gap (their beginning was dropped) are here and cannot be used: they are filled anew in place.
        fresh = sum(block not in self._held and block not in self._idle for block in blocks[hits:]) + private
        self._evict(fresh - (self._capacity - len(self) - self._private), set(blocks))
        return True

    def _evict(self, count: int, kept: set[int]) -> None:
        spared = []
        while count > 0:
            block, _ = self._idle.popitem(last=False)
            if block in kept:
                spared.append(block)
                continue
            self.dropped.append(block)
            count -= 1
        for block in reversed(spared):
            self._idle[block] = None
            self._idle.move_to_end(block, last=False)
