"""The bindings this process knows: least recently used ones go first, idle ones go, and it counts per worker."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

from services.router.domain.binding import Binding, SessionKey
from services.router.domain.catalog import Pool
from services.router.domain.plan import Place


@dataclass(slots=True)
class Held:
    """A binding, when it was last compared with the store and used, and its plan in one pool."""

    binding: Binding
    checked_at: float
    used_at: float
    pool: Pool | None = None
    plan: list[Place] = field(default_factory=list)


class BindingCache:
    """At most `size_max` sessions, each until `idle_seconds` after its last use. Times are `Clock.monotonic`."""

    def __init__(self, size_max: int, idle_seconds: float) -> None:
        self._size_max = size_max
        self._idle_seconds = idle_seconds
        self._held: OrderedDict[SessionKey, Held] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self._held)

    @property
    def sessions(self) -> Mapping[str, int]:
        """Known sessions by worker name."""
        return self._counts

    def get(self, key: SessionKey, now: float) -> Held | None:
        """What is held of `key`; that counts as a use."""
        held = self._held.get(key)
        if held is not None:
            held.used_at = now
            self._held.move_to_end(key)
        return held

    def put(self, key: SessionKey, binding: Binding, now: float) -> Held:
        """Holds `binding`, just compared with the store."""
        self._drop(key)
        held = self._held[key] = Held(binding, checked_at=now, used_at=now)
        self._counts[binding.worker] += 1
        if len(self._held) > self._size_max:
            self._drop(next(iter(self._held)))
        return held

    def sweep(self, now: float) -> None:
        """Drops the idle."""
        while self._held:
            key, held = next(iter(self._held.items()))
            if held.used_at > now - self._idle_seconds:
                return
            self._drop(key)

    def _drop(self, key: SessionKey) -> None:
        held = self._held.pop(key, None)
        if held is not None:
            name = held.binding.worker
            self._counts[name] -= 1
            if not self._counts[name]:
                del self._counts[name]
