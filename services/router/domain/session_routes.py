"""The session routes this process knows; least recently used ones go first."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from services.router.domain.binding import SessionKey
from services.router.domain.policy.session import SessionRoute


@dataclass(frozen=True, slots=True)
class StoredRoute:
    """A route and its version in the store, 0 = none there.

    `saved` is False for one that was decided while the store was down: it holds in this process until the store can be
    asked, and then the stored one wins.
    """

    route: SessionRoute
    version: int
    saved: bool = True


class RouteCache:
    """At most `size_max` sessions. Nothing expires: a stale one is found out by its user turn, or by its version."""

    def __init__(self, size_max: int) -> None:
        self._size_max = size_max
        self._held: OrderedDict[SessionKey, StoredRoute] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: SessionKey) -> StoredRoute | None:
        """What is held of `key`; that counts as a use."""
        held = self._held.get(key)
        if held is not None:
            self._held.move_to_end(key)
        return held

    def put(self, key: SessionKey, held: StoredRoute) -> None:
        """Holds `held`."""
        self._held[key] = held
        self._held.move_to_end(key)
        if len(self._held) > self._size_max:
            self._held.popitem(last=False)
