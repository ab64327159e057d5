"""The store of stand-ins in memory; kept to the real one's rules by tests/contract."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.gateway.adapters.cached_answers import CachedLimits


class MemoryCachedAnswers:
    def __init__(self, clock, limits=None):
        self.clock, self.limits = clock, limits or CachedLimits()
        self.kept, self.down = {}, False

    def _up(self):
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)

    async def find(self, tenant, digest):
        self._up()
        answer, until = self.kept.get((tenant, digest), (None, 0.0))
        return answer if until > self.clock.monotonic() else None

    async def keep(self, tenant, digest, answer):
        self._up()
        self.kept.pop((tenant, digest), None)
        self.kept[tenant, digest] = (answer, self.clock.monotonic() + self.limits.seconds)
        own = [key for key in self.kept if key[0] == tenant]
        for key in own[: max(0, len(own) - self.limits.answers_max)]:
            del self.kept[key]
