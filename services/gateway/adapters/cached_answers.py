"""Answers that may stand in for others, in Valkey: a string per request, and per tenant a sorted set that bounds them.

hr:cached:{tenant}:<digest>   the answer, until its time is over
hr:cached:{tenant}            digests by the end of their time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from libs.valkey import FunctionLibrary, Valkey
from services.gateway.domain.cached_answer import SECONDS_MAX

_CACHED = FunctionLibrary(
    "cached",
    """
redis.register_function('@library@_keep', function(keys, a)
  local index, answer = keys[1], keys[2]
  local t = redis.call('TIME')
  local now = t[1] * 1000 + math.floor(t[2] / 1000)
  redis.call('SET', answer, a[2], 'PX', a[3])
  redis.call('ZREMRANGEBYSCORE', index, '-inf', now)
  redis.call('ZADD', index, now + a[3], a[1])
  redis.call('PEXPIRE', index, a[4])
  local over = redis.call('ZCARD', index) - a[5]
  if over > 0 then
    -- Of the same slot as the index.
    local oldest = redis.call('ZPOPMIN', index, over)
    for i = 1, #oldest, 2 do redis.call('DEL', index .. ':' .. oldest[i]) end
  end
  return 1
end)
""",
)
# Answers that were kept together end apart, so that their calls do not all come back to the workers at once.
_JITTER = 0.1


@dataclass(frozen=True, slots=True)
class CachedLimits:
    """How long answers are kept, and how many of one tenant."""

    seconds: float = SECONDS_MAX
    answers_max: int = 10_000


class ValkeyCachedAnswers:
    """See ports.cached_answers.CachedAnswers. `random` gives floats in [0, 1)."""

    def __init__(self, valkey: Valkey, limits: CachedLimits, random: Callable[[], float]) -> None:
        self._valkey, self._limits, self._random = valkey, limits, random

    async def find(self, tenant: str, digest: str) -> bytes | None:
        """See CachedAnswers."""
        found: bytes | None = await self._valkey.command("GET", f"{_index(tenant)}:{digest}")
        return found

    async def keep(self, tenant: str, digest: str, answer: bytes) -> None:
        """See CachedAnswers."""
        most = int(self._limits.seconds * 1000)
        ttl = int(most * (1 - _JITTER * self._random()))
        index = _index(tenant)
        arguments = [digest, answer, max(1, ttl), most, self._limits.answers_max]
        await self._valkey.call(_CACHED, "keep", [index, f"{index}:{digest}"], arguments)


def _index(tenant: str) -> str:
    return f"hr:cached:{{{tenant}}}"
