"""Bindings in memory: what the contract test holds against the store in Valkey."""

from __future__ import annotations

from libs.errors import PlatformError, Reason
from services.router.domain.binding import Binding, Bound


class FakeStore:
    """A BindingStore; `up = False` plays its loss. `calls` counts the questions."""

    def __init__(self):
        self.up = True
        self.calls = 0
        self.stored = {}

    async def bind(self, key, worker, version):
        self.calls += 1
        if not self.up:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", started=False)
        now = self.stored.get(key)
        if now is None or (now.version == version and now.worker != worker):
            stored = now.version if now else 0
            self.stored[key] = Binding(worker, max(stored, version) + 1)
            return Bound(self.stored[key], written=True)
        return Bound(now, written=False)
