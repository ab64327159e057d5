"""What workers are about to hold: the prompts that this router has just sent them.

A burst of equal prefixes must go together before the first of them has been computed, so a placed prompt counts as
held until the worker's own word can be there. And workers whose engines tell nothing have only this: for them prompts
stay until as many blocks came after them as the cache holds, oldest first, which is a guess at what the engine does.

A prompt is kept as it came, one array, and found by a few of its hashes: those at positions that grow by half. Equal
hashes mean equal prefixes, so whoever shares the hash at a position shares all before it, and the run beyond the last
shared position is compared with the latest prompt that has it. Placing costs 25 dict entries at most, not one a block.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from libs.block_hash import Hashes

_LONGEST = 1 << 20


def _marks() -> list[int]:
    found = [1]
    while found[-1] < _LONGEST:
        found.append(found[-1] + max(1, found[-1] // 2))
    return found


_MARKS = _marks()
_MARK_ROWS = np.array(_MARKS, np.int64) - 1


@dataclass(frozen=True, slots=True)
class ExpectedRule:
    """A prompt is expected for `life_seconds`; all together have `blocks_max` blocks at most, oldest go first."""

    life_seconds: float = 10.0
    blocks_max: int = 2_000_000


@dataclass(slots=True, eq=False)
class _Prompt:
    slot: int
    hashes: Hashes
    marks: list[int]
    # Blocks that it alone accounts for.
    blocks: int
    until: float


class Expected:
    """Of all workers, by their numbers (`slot`). Times are `Clock.monotonic`."""

    def __init__(self, rule: ExpectedRule) -> None:
        self._rule = rule
        self._brief: OrderedDict[int, _Prompt] = OrderedDict()
        self._brief_blocks = 0
        self._kept: dict[int, OrderedDict[int, _Prompt]] = {}
        self._kept_blocks: dict[int, int] = {}
        # Of brief ones, by worker and their last block: what ends them when it is told.
        self._by_last: dict[int, dict[int, _Prompt]] = {}
        # By hash at a mark: who has it, and its latest prompt there.
        self._by_mark: dict[int, dict[int, _Prompt]] = {}

    def __len__(self) -> int:
        return len(self._brief) + sum(map(len, self._kept.values()))

    @contextmanager
    def promised(self, slot: int, hashes: Hashes, now: float) -> Iterator[None]:
        """As `send`, until the block ends: the prompt will go there if nothing comes between."""
        prompt = _Prompt(slot, hashes, _marked(hashes), 0, now)
        for mark in prompt.marks:  # over those of prompts that were sent it must not stand: it ends before them
            self._by_mark.setdefault(mark, {}).setdefault(slot, prompt)
        try:
            yield
        finally:
            self._leave(prompt)

    def send(self, slot: int, hashes: Hashes, now: float, held: int = 0) -> None:
        """The worker will have these blocks soon, and say so. It has the first `held` of them already."""
        if len(hashes) <= held:
            return
        prompt = _Prompt(slot, hashes, _marked(hashes, held), len(hashes), now + self._rule.life_seconds)
        self._enter(prompt)
        lasts, last = self._by_last.setdefault(slot, {}), int(hashes[-1])
        equal = lasts.get(last)
        if equal is not None:
            self._end_brief(equal, last)
        lasts[last] = prompt
        self._brief[id(prompt)] = prompt
        self._brief_blocks += prompt.blocks
        while self._brief_blocks > self._rule.blocks_max:
            self._end_oldest_brief()

    def awaited(self, slot: int) -> Iterable[int]:
        """The blocks that end a prompt of this worker when it tells them."""
        return self._by_last.get(slot, ())

    def told(self, slot: int, stored: Hashes) -> None:
        """The worker has these blocks: prompts that end with one of them are no longer expected, they are there."""
        lasts = self._by_last.get(slot)
        if lasts:
            for last in [block for block in stored.tolist() if block in lasts]:
                self._end_brief(lasts[last], last)

    def assume(self, slot: int, hashes: Hashes, capacity: int) -> None:
        """The worker has these blocks, and never says so; its cache holds `capacity` blocks."""
        hashes = hashes[:capacity]
        if not len(hashes):
            return
        marks = _marked(hashes)
        index, latest = self._deepest(marks).get(slot, (0, None))
        shared = _shared(hashes, latest.hashes, index) if latest is not None else 0
        prompt = _Prompt(slot, hashes, marks, len(hashes) - shared, float("inf"))
        kept = self._kept.setdefault(slot, OrderedDict())
        if latest is not None and shared == len(latest.hashes) and id(latest) in kept:  # a session's next step
            prompt.blocks += latest.blocks
            self._kept_blocks[slot] -= latest.blocks
            del kept[id(latest)]
        self._enter(prompt)
        kept[id(prompt)] = prompt
        self._kept_blocks[slot] = self._kept_blocks.get(slot, 0) + prompt.blocks
        while self._kept_blocks[slot] > capacity and len(kept) > 1:
            self._end_oldest_kept(slot)

    def runs(self, hashes: Hashes, now: float) -> dict[int, int]:
        """Blocks from the start of this non-empty prompt that workers are expected to have; none = left out.

        At least so many: where prompts part between two marks, the latest one is compared with.
        """
        while self._brief and next(iter(self._brief.values())).until <= now:
            self._end_oldest_brief()
        if not self._by_mark:
            return {}
        found = self._deepest(_marked(hashes))
        return {slot: _shared(hashes, prompt.hashes, index) for slot, (index, prompt) in found.items()}

    def forget(self, slot: int) -> None:
        """Nothing is expected of this worker any more."""
        for last, prompt in list(self._by_last.get(slot, {}).items()):
            self._end_brief(prompt, last)
        for prompt in self._kept.pop(slot, {}).values():
            self._leave(prompt)
        self._kept_blocks.pop(slot, None)

    def _deepest(self, marks: list[int]) -> dict[int, tuple[int, _Prompt]]:
        """The last of these marks that each worker has, and its latest prompt there."""
        by_mark, found = self._by_mark, dict[int, tuple[int, _Prompt]]()
        for index, mark in enumerate(marks):
            if mark in by_mark:
                for slot, prompt in by_mark[mark].items():
                    found[slot] = (index, prompt)
        return found

    def _enter(self, prompt: _Prompt) -> None:
        for mark in prompt.marks:
            self._by_mark.setdefault(mark, {})[prompt.slot] = prompt

    def _leave(self, prompt: _Prompt) -> int:
        """Takes its marks out but those that a later prompt has taken over. Returns how many blocks those stand for."""
        taken = 0
        for index, mark in enumerate(prompt.marks):
            holders = self._by_mark.get(mark)
            if holders is None:
                continue
            if holders.get(prompt.slot) is not prompt:
                taken = _MARKS[index]
                continue
            del holders[prompt.slot]
            if not holders:
                del self._by_mark[mark]
        return taken

    def _end_oldest_brief(self) -> None:
        prompt = next(iter(self._brief.values()))
        self._end_brief(prompt, int(prompt.hashes[-1]))

    def _end_brief(self, prompt: _Prompt, last: int) -> None:
        del self._brief[id(prompt)]
        del self._by_last[prompt.slot][last]
        self._brief_blocks -= prompt.blocks
        self._leave(prompt)

    def _end_oldest_kept(self, slot: int) -> None:
        _, prompt = self._kept[slot].popitem(last=False)
        self._kept_blocks[slot] -= prompt.blocks
        taken = self._leave(prompt)
        if taken:  # a later prompt has these too: the cache has not lost them, and they are its own from here on
            heir = self._by_mark[prompt.marks[bisect_left(_MARKS, taken)]][slot]
            owed = min(taken, prompt.blocks)
            heir.blocks += owed
            self._kept_blocks[slot] += owed


def _marked(hashes: Hashes, held: int = 0) -> list[int]:
    """Hashes at the marks, those of the first `held` blocks left out."""
    rows = _MARK_ROWS[bisect_right(_MARKS, held) : bisect_right(_MARKS, len(hashes))]
    marks: list[int] = hashes.take(rows).tolist()
    return marks


def _shared(one: Hashes, other: Hashes, index: int) -> int:
    """Length of the common prefix of two prompts that have the hash at mark `index` in common, and none at the next."""
    start = _MARKS[index]
    end = min(_MARKS[index + 1], len(one), len(other))
    if start == end or one[end - 1] == other[end - 1]:
        return end
    return start + int((one[start:end] != other[start:end]).argmax())
