"""Places for the calls of one pool that are under way: how many, whose, and how soon one becomes free."""

from __future__ import annotations

from libs.resilience.limiter import ConcurrencyLimiter

# Share of the last end in the mean pace: it follows the limit's ups and downs slowly, and the workers' quickly enough.
RECENT = 0.02


class Slots:
    """The limiter of a pool, and a bulkhead in it: no tenant has more than `share` of the places while others wait."""

    __slots__ = ("_pace", "_share", "_tenants", "limiter")

    def __init__(self, limiter: ConcurrencyLimiter, share: float) -> None:
        self._share = share
        self._tenants: dict[str, int] = {}
        # Mean seconds from one free place to the next while somebody waits; 0 = nobody has waited lately.
        self._pace = 0.0
        self.limiter = limiter

    def take(self, tenant: str) -> bool:
        """Takes a place for a call of this tenant; False when there is none."""
        if not self.limiter.take():
            return False
        self._tenants[tenant] = self._tenants.get(tenant, 0) + 1
        return True

    def give_back(self, tenant: str, seconds: float | None, *, wanted: bool = False) -> None:
        """Gives one back; `seconds` as of ConcurrencyLimiter.give_back; `wanted`: somebody waits for it."""
        if not wanted:
            self._pace = 0.0
        elif seconds is not None:
            gap = seconds / self.limiter.in_flight
            self._pace = self._pace + RECENT * (gap - self._pace) if self._pace else self._known_pace()
        self.limiter.give_back(seconds)
        left = self._tenants[tenant] - 1
        if left:
            self._tenants[tenant] = left
        else:
            del self._tenants[tenant]

    def of(self, tenant: str) -> int:
        """Places that this tenant has."""
        return self._tenants.get(tenant, 0)

    def may(self, tenant: str) -> bool:
        """Whether one more place would leave the others' share to them."""
        return self._tenants.get(tenant, 0) < max(1.0, self._share * self.limiter.limit)

    def seconds_until(self, turns: int) -> float:
        """How long until so many places have become free (Little's law); 0 while it is not known what calls take."""
        return turns * (self._pace or self._known_pace())

    def _known_pace(self) -> float:
        return self.limiter.service_seconds / max(1, self.limiter.in_flight)
