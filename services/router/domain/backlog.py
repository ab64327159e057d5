"""Prompt tokens that this router has sent to a worker and that the worker has yet to compute.

A count of calls does not say how long the next prompt waits: calls differ by a factor of a thousand. The worker's KV
events do: a block that it tells is computed, and so is all that came before it in its prompt. Each prompt is followed
at a few of its blocks, so that progress within a long one shows, and a message costs one look-up per block it tells.

Prompts that are never told (refused, cancelled, or cached after all) count for `LIFE_SECONDS` at most.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from libs.block_hash import Hashes

# Long enough for a prompt of a hundred thousand tokens behind another one; the router's other views of a queue (calls
# told as waiting) take over where it is longer.
LIFE_SECONDS = 30.0
# Marks per prompt: progress shows in steps of a sixteenth of it.
MARKS_MAX = 16
# A message with more blocks than this is searched the other way round: its blocks for the marks.
_MANY_BLOCKS = 2048


@dataclass(slots=True, eq=False)
class _Sent:
    """One prompt: its marks, and the tokens up to each from the one before; those below `done` are computed."""

    until: float
    marks: list[int]
    tokens: list[float]
    done: int = 0


class Backlog:
    """Of one worker. Times are `Clock.monotonic`."""

    def __init__(self) -> None:
        self._sent: deque[_Sent] = deque()
        self._by_mark: dict[int, tuple[_Sent, int]] = {}
        self._tokens = 0.0

    def send(self, uncached: Hashes, tokens: float, now: float) -> None:
        """A prompt goes there: `tokens` are to be computed, of them those of the blocks `uncached`, in order."""
        count = len(uncached)
        if not count or tokens <= 0.0:
            return
        marks = _marks(uncached)
        step = tokens / len(marks)
        sent = _Sent(now + LIFE_SECONDS, marks, [step] * len(marks))
        for index, mark in enumerate(marks):
            if mark not in self._by_mark:  # else another prompt has it computed
                self._by_mark[mark] = (sent, index)
        self._sent.append(sent)
        self._tokens += tokens

    def awaited(self) -> Iterable[int]:
        """The blocks that end a part of a prompt when the worker tells them."""
        return self._by_mark

    def told(self, stored: Hashes) -> None:
        """The worker holds these blocks."""
        by_mark = self._by_mark
        if not by_mark:
            return
        if len(stored) > _MANY_BLOCKS:
            marks = np.fromiter(by_mark, np.uint64, len(by_mark))
            found = marks[np.isin(marks, stored)].tolist()
        else:
            found = [block for block in stored.tolist() if block in by_mark]
        for mark in found:
            if mark in by_mark:
                sent, index = by_mark[mark]
                self._compute(sent, index + 1)

    def tokens(self, now: float) -> float:
        """What it has yet to compute of what it was sent."""
        while self._sent and (self._sent[0].until <= now or self._sent[0].done == len(self._sent[0].marks)):
            sent = self._sent.popleft()
            self._compute(sent, len(sent.marks))
        if not self._sent:
            self._tokens = 0.0  # what rounding left
        return self._tokens

    def clear(self) -> None:
        """The worker is gone, and what it was sent with it."""
        self._sent.clear()
        self._by_mark.clear()
        self._tokens = 0.0

    def _compute(self, sent: _Sent, end: int) -> None:
        for index in range(sent.done, end):
            self._tokens -= sent.tokens[index]
            mark = sent.marks[index]
            if self._by_mark.get(mark, (None,))[0] is sent:
                del self._by_mark[mark]
        sent.done = max(sent.done, end)


def _marks(blocks: Hashes) -> list[int]:
    """At most MARKS_MAX of them, evenly spread, the last one always."""
    count = len(blocks)
    if count <= MARKS_MAX:
        found: list[int] = blocks.tolist()
        return found
    rows = (np.arange(1, MARKS_MAX + 1) * count) // MARKS_MAX - 1
    spread: list[int] = blocks[rows].tolist()
    return spread
