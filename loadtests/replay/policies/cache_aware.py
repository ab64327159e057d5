"""vllm-router's `cache_aware`.

Rules and defaults: vllm-project/router, src/policies/cache_aware.rs (16917f4), src/tree.rs (1dbe507), src/main.rs
(03e9af5).

- Loads are calls sent and not ended, counted by the router. Imbalanced: max - min > balance_abs_threshold and
  max > balance_rel_threshold * min. Then the least loaded worker, whatever the cache.
- Otherwise one tree of all prompts says how much of this one has been sent before, and to whom last. A share above
  cache_threshold goes there; else the least loaded worker.
- Every eviction interval, least recently used leaves go from workers whose part of the tree is above its bound.

The tree is over blocks here, over characters there; its bound is scaled by 4 characters per token.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from loadtests.replay.policies.simple import Rule
from loadtests.replay.run import Surroundings
from loadtests.replay.trace import BLOCK_TOKENS, Request

_CHARACTERS_PER_BLOCK = 4 * BLOCK_TOKENS


@dataclass(frozen=True, slots=True)
class CacheAwareRule:
    """The defaults are those of the command line."""

    cache_threshold: float = 0.3
    balance_abs_threshold: int = 64
    balance_rel_threshold: float = 1.5
    eviction_interval_ms: float = 120_000.0
    tree_characters_max: int = 1 << 26


# `CacheAwareConfig::default()` in src/policies/mod.rs (1aa3500); there the bound of 10,000 characters is checked every
# 30 s, which leaves hardly more than the last 30 s in the tree.
LIBRARY_DEFAULTS = CacheAwareRule(0.5, 32, 1.1, 30_000.0, 10_000)


class CacheAware(Rule):
    """See above."""

    def __init__(self, around: Surroundings, rule: CacheAwareRule) -> None:
        super().__init__(around)
        self._rule = rule
        self._load: Counter[str] = Counter()
        self._last: dict[int, str] = {}  # block → the worker that it was sent to last
        self._of: dict[str, OrderedDict[int, None]] = {}  # worker → its blocks, least recently used first
        self._evict_at = rule.eviction_interval_ms

    def members(self, workers: Sequence[str], now: float) -> None:
        """See Policy."""
        super().members(workers, now)
        self._of = {name: self._of.get(name, OrderedDict()) for name in workers}
        self._last = {block: name for block, name in self._last.items() if name in self._of}

    def place(self, request: Request, now: float) -> str:
        """See Policy."""
        self._evict(now)
        loads = [self._load[name] for name in self._workers]
        low, high = min(loads), max(loads)
        rule = self._rule
        chosen = self._workers[loads.index(low)]
        if not (high - low > rule.balance_abs_threshold and high > rule.balance_rel_threshold * low):
            matched, name = self._match(request.blocks)
            if matched / len(request.blocks) > rule.cache_threshold:
                chosen = name
        self._insert(request.blocks, chosen)
        self._load[chosen] += 1
        return chosen

    def finished(self, request: Request, worker: str, now: float) -> None:  # noqa: ARG002 -- Policy's shape
        """See Policy."""
        self._load[worker] -= 1

    def _match(self, blocks: Sequence[int]) -> tuple[int, str]:
        last = self._last
        matched = next((n for n, block in enumerate(blocks) if block not in last), len(blocks))
        return matched, last[blocks[matched - 1]] if matched else ""

    def _insert(self, blocks: Sequence[int], name: str) -> None:
        mine = self._of[name]
        for block in reversed(blocks):  # leaves are the least recently used
            self._last[block] = name
            mine[block] = None
            mine.move_to_end(block)

    def _evict(self, now: float) -> None:
        if now < self._evict_at:
            return
        self._evict_at = now + self._rule.eviction_interval_ms
        bound = self._rule.tree_characters_max // _CHARACTERS_PER_BLOCK
        for name, mine in self._of.items():
            while len(mine) > bound:
                block, _ = mine.popitem(last=False)
                if self._last.get(block) == name:
                    other = next((each for each, theirs in self._of.items() if block in theirs), None)
                    if other is None:
                        del self._last[block]
                    else:
                        self._last[block] = other
