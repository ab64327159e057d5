"""How long answers get, learned per kind of call, so that a hold need not cover the whole of a large `max_tokens`.

Mean and mean deviation are smoothed as TCP smooths its round-trip time (RFC 6298: gains 1/8 and 1/4); a hold covers the
mean and four deviations. What an answer needs beyond it is held while it runs.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

FIRST_TOKENS = 512
LEAST_TOKENS = 64
_MEAN_GAIN = 0.125
_DEVIATION_GAIN = 0.25
_DEVIATIONS = 4


@dataclass(slots=True)
class _Seen:
    mean: float
    deviation: float


class OutputEstimates:
    """Estimates by (key, model, step); the least recently used kinds are forgotten."""

    __slots__ = ("_kept_max", "_seen")

    def __init__(self, kept_max: int = 20_000) -> None:
        self._seen: OrderedDict[tuple[str, str, str], _Seen] = OrderedDict()
        self._kept_max = kept_max

    def tokens(self, kind: tuple[str, str, str], most: int) -> int:
        """Output tokens to hold for a call of this kind that may produce `most`."""
        seen = self._seen.get(kind)
        wanted = FIRST_TOKENS if seen is None else int(seen.mean + _DEVIATIONS * seen.deviation) + 1
        return min(most, max(LEAST_TOKENS, wanted))

    def learn(self, kind: tuple[str, str, str], tokens: int) -> None:
        """An answer of this kind was so long."""
        seen = self._seen.get(kind)
        if seen is None:
            self._seen[kind] = _Seen(tokens, tokens / 2)
            if len(self._seen) > self._kept_max:
                self._seen.popitem(last=False)
            return
        self._seen.move_to_end(kind)
        seen.deviation += _DEVIATION_GAIN * (abs(tokens - seen.mean) - seen.deviation)
        seen.mean += _MEAN_GAIN * (tokens - seen.mean)
