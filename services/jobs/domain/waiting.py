"""Who goes next, among requests that wait for room in a pool."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")
# So many that were taken back may stay among those that wait, beside as many as wait.
_GONE_MAX = 64


@dataclass(slots=True)
class _Tenant(Generic[T]):
    """`running`: requests of its that have room. `served`: number of its last turn."""

    heap: list[tuple[float, int, T]] = field(default_factory=list)
    running: int = 0
    served: int = 0


class FairWaiting(Generic[T]):
    """Tenants share: the one with the fewest running requests comes first, then who was served longest ago. Within a
    tenant the priority decides, and `ageing_seconds` of waiting weigh as much as one step of it: nobody starves.
    """

    def __init__(self, ageing_seconds: float) -> None:
        self._ageing = ageing_seconds
        self._tenants: dict[str, _Tenant[T]] = {}
        self._numbers = count(1)
        self._gone: set[int] = set()
        self._waiting = 0

    def __len__(self) -> int:
        return self._waiting

    def push(self, tenant: str, priority: int, now: float, item: T) -> int:
        """Adds a request; its number is for `remove`."""
        number = next(self._numbers)
        entry = (now - priority * self._ageing, number, item)
        heapq.heappush(self._tenants.setdefault(tenant, _Tenant()).heap, entry)
        self._waiting += 1
        return number

    def remove(self, number: int) -> None:
        """Takes a request back that waits."""
        self._gone.add(number)
        self._waiting -= 1
        if len(self._gone) > self._waiting + _GONE_MAX:
            self._drop_gone()

    def pop(self) -> tuple[str, T] | None:
        """The next request and its tenant, which has one more running; None = nobody waits."""
        for tenant in [name for name, each in self._tenants.items() if not self._clean(each) and not each.running]:
            del self._tenants[tenant]
        waiting = [(each.running, each.served, name) for name, each in self._tenants.items() if each.heap]
        if not waiting:
            return None
        name = min(waiting)[2]
        chosen = self._tenants[name]
        chosen.running, chosen.served = chosen.running + 1, next(self._numbers)
        self._waiting -= 1
        return name, heapq.heappop(chosen.heap)[2]

    def ended(self, tenant: str) -> None:
        """A request of that tenant's has left its room."""
        self._tenants[tenant].running -= 1

    def _drop_gone(self) -> None:
        """A pool without room lets nobody through, so that none of them ever gets to the front."""
        for tenant in self._tenants.values():
            tenant.heap = [entry for entry in tenant.heap if entry[1] not in self._gone]
            heapq.heapify(tenant.heap)
        self._gone.clear()
        idle = [name for name, each in self._tenants.items() if not each.heap and not each.running]
        for name in idle:
            del self._tenants[name]

    def _clean(self, tenant: _Tenant[T]) -> bool:
        """Drops removed requests from the front; whether any is left."""
        heap = tenant.heap
        while heap and heap[0][1] in self._gone:
            self._gone.discard(heapq.heappop(heap)[1])
        return bool(heap)
