"""Looks at the books while they are written: what is settled, what is held, and the holds that make it up."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from libs.errors import PlatformError
from libs.valkey import Valkey
from services.gateway.adapters.ledger.library import prefix_of

EVERY_SECONDS = 0.02
# One moment of a tenant's scopes: settled, held, running of each; and the sum over the records of running holds.
_LOOK = """
local scopes, sum, count = {}, 0, 0
for _, name in ipairs(redis.call('SMEMBERS', KEYS[1] .. ':scopes')) do
  local st = redis.call('HGET', KEYS[1] .. ':' .. name, 'st')
  if st then
    st = cmsgpack.unpack(st)
    scopes[#scopes + 1] = {name, st.sd * 1000000000 + st.sn, st.h, st.p}
  end
end
for _, id in ipairs(redis.call('ZRANGE', KEYS[1] .. ':leases', 0, -1)) do
  local rec = redis.call('GET', KEYS[1] .. ':hold:' .. id)
  rec = rec and cmsgpack.unpack(rec)
  if rec and rec.s == 'held' then
    sum, count = sum + rec.a, count + 1
  end
end
return cjson.encode({scopes = scopes, sum = sum, count = count})
"""


@dataclass(frozen=True)
class Look:
    """One moment. Amounts are nano-dollars; `scopes` are (settled, held, running) by name."""

    scopes: dict[str, tuple[int, int, int]]
    holds: int
    held_by_holds: int

    @property
    def quiet(self) -> bool:
        """Nothing is held by anybody."""
        return not self.holds and all(held == 0 and running == 0 for _, held, running in self.scopes.values())


async def look(valkey: Valkey, tenant: str) -> Look:
    """The tenant's books at one moment. Raises STORE_UNAVAILABLE."""
    found: dict[str, Any] = json.loads(await valkey.command("EVAL", _LOOK, 1, prefix_of(tenant)))
    scopes = {name: (int(settled), int(held), int(running)) for name, settled, held, running in found["scopes"] or ()}
    return Look(scopes, found["count"], int(found["sum"]))


@dataclass
class Watcher:
    """Looks again and again; `faults` are what must never be seen, each kind with its worst."""

    valkey: Valkey
    tenant: str
    scope: str
    limit: int
    # While gateways declare what a store has lost, holds that have ended stand beside those that came after them: no
    # more is held then, but the sum may be past the limit.
    declaring: Callable[[], bool] = lambda: False
    looks: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    # Set with the first of them.
    fault: asyncio.Event = field(default_factory=asyncio.Event)
    highest: int = 0

    async def run(self) -> None:
        """For ever."""
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            try:
                self.check(await look(self.valkey, self.tenant))
            except PlatformError:
                continue  # the store is down just now

    def check(self, seen: Look) -> None:
        """Notes what is wrong with one moment."""
        self.looks += 1
        settled, held, _ = seen.scopes.get(self.scope, (0, 0, 0))
        self.highest = max(self.highest, settled + held)
        if settled > self.limit:
            self.faults["overspent"] = f"{settled} settled of {self.limit}"
        if settled + held > self.limit and not self.declaring():
            self.faults["promised too much"] = f"{settled} settled and {held} held of {self.limit}"
        for name, (_, held_here, running) in seen.scopes.items():
            if held_here != seen.held_by_holds or running != seen.holds:
                kind = "held is not the sum of holds"
                self.faults[kind] = f"{name}: {held_here} by {running}, holds: {seen.held_by_holds} by {seen.holds}"
        if self.faults:
            self.fault.set()

    async def quiet(self, seconds: float) -> float:
        """Waits until nothing is held; the seconds it took. Raises TimeoutError: holds have leaked."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            try:
                if (await look(self.valkey, self.tenant)).quiet:
                    return time.monotonic() - began
            except PlatformError:
                pass
            await asyncio.sleep(0.1)
        raise TimeoutError(f"something is still held after {seconds:.0f} s")
