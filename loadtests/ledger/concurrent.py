"""Many clients at once on one tenant, window by window: what each called and what was replied, for `linear.explain`."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from random import Random

from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from loadtests.ledger.books_check import ViolationError
from loadtests.ledger.kept import bare, kept_by_model, kept_by_store
from loadtests.ledger.linear import Call, Same, equal, explain
from loadtests.ledger.pipe import Pipe
from loadtests.ledger.timed import CLOCK, TIMED
from loadtests.ledger.world import TIMES, Operation, World
from services.gateway.adapters.ledger.library import LEDGER
from services.gateway.adapters.ledger.store import ValkeyLedger
from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.model import TenantLedger

_FOREVER_US = 2**62
# A store on a busy machine is slow, not gone.
_PATIENT = {"op_timeout_ms": 10_000, "connect_timeout_ms": 10_000}
_ECHOED = re.compile(rb'"ECHO" "([^"]*)"')
# Makes the ledger of a client.
Made = Callable[[Valkey], ValkeyLedger]


def timed_ledger(valkey: Valkey) -> ValkeyLedger:
    """The ledger as it is, by the moved clock."""
    return ValkeyLedger(valkey, TIMES, TIMED)


class Monitor:
    """Watches in which order the store runs commands."""

    def __init__(self, url: str) -> None:
        self._pipe = Pipe(url)
        self._pipe.now(("MONITOR",))
        self._marks = 0

    def close(self) -> None:
        """Ends the watch."""
        self._pipe.close()

    def places(self, pipe: Pipe) -> dict[str, int]:
        """The place of everything that was echoed since the last look, by its text."""
        self._marks += 1
        mark = f"mark-{self._marks}"
        pipe.now(("ECHO", mark))
        found: dict[str, int] = {}
        while mark not in found:
            (line,) = self._pipe.receive(1)
            if echoed := _ECHOED.search(line):
                found[echoed[1].decode()] = len(found)
        return found


class Concurrent:
    """`clients` connections to one store. Open it with `open`, and `close` it."""

    def __init__(self, store: ValkeyProcess, world: World, made: Made = timed_ledger) -> None:
        self.world = world
        self.books = Books(ended_us=_FOREVER_US)
        self._store = store
        self._made = made
        self.pipe = Pipe(store.url)
        self._monitor = Monitor(store.url)
        self._clients: list[tuple[Valkey, ValkeyLedger]] = []

    async def open(self, clients: int) -> None:
        """Connects, and writes the tenant's limits."""
        self.pipe.load(LEDGER, TIMED)
        self._tell_time()
        for _ in range(clients):
            valkey = Valkey(self._store.settings(**_PATIENT))
            self._clients.append((valkey, self._made(valkey)))
            self.world.life = await self._clients[-1][1].hello()
        for operation in self.world.opening():
            operation.on_model(TenantLedger(self.books))
            await operation.on_store(self._clients[0][1], self._clients[0][0])

    async def close(self) -> None:
        """Disconnects."""
        self.pipe.close()
        self._monitor.close()
        for valkey, _ in self._clients:
            await valkey.close()

    def _tell_time(self) -> None:
        self.pipe.now(("SET", CLOCK, self.world.now))

    def plan(self, each: int) -> list[list[Operation]]:
        """Random operations for every client, all at one time: they are about what ran before, and about each other."""
        self.world.pass_time()
        self._tell_time()
        model = TenantLedger(self.books)
        return [[self.world.some(model) for _ in range(each)] for _ in self._clients]

    async def window(self, plans: Sequence[Sequence[Operation]]) -> list[Call]:
        """Plays the plans of all clients at once."""
        self._monitor.places(self.pipe)
        clients = zip(plans, self._clients, strict=True)
        played = await asyncio.gather(
            *(_play(f"client-{at}", plan, *client) for at, (plan, client) in enumerate(clients))
        )
        places = self._monitor.places(self.pipe)
        for call, name in (told := [told for calls in played for told in calls]):
            call.hint = places[name]
        return [call for call, _ in told]

    def explain(self, calls: Sequence[Call], same: Same = equal) -> None:
        """Finds an order that explains the calls, and goes on from there. Raises ViolationError when there is none."""
        keys = sorted({f"hold:{name}" for call in calls for name in call.operation.holds})
        keys += [f"res:{name}" for name in self.world.reservations]
        found, _ = kept_by_store(self.pipe, self.world.tenant, "", keys)

        def fits(books: Books) -> bool:
            """The outbox tells in which order things were decided."""
            return bare(books.outbox) == found.entries[: len(books.outbox)]

        def ends(books: Books) -> bool:
            return kept_by_model(TenantLedger(books), 0, keys) == found

        order = explain(self.books, calls, fits, ends, same)
        if order is None:
            told = "\n".join(
                f"{call.operation.kind} {call.called_ns}..{call.replied_ns}: {call.reply}" for call in calls
            )
            raise ViolationError(f"no order of these {len(calls)} operations explains their replies:\n{told}")
        for call in order:
            call.operation.on_model(TenantLedger(self.books))


async def _play(client: str, plan: Sequence[Operation], valkey: Valkey, ledger: ValkeyLedger) -> list[tuple[Call, str]]:
    """The calls, each with what its client had echoed just before, in one write: the store runs both together."""
    rng, calls = Random(client), []
    for at, operation in enumerate(plan):
        for _ in range(rng.randint(0, 3)):
            await asyncio.sleep(0)
        name, called = f"{client}-{at}", time.monotonic_ns()
        asked = operation.on_store(ledger, valkey)
        _, reply = await asyncio.gather(valkey.command("ECHO", name), asked)
        calls.append((Call(operation, called, time.monotonic_ns(), reply), name))
    return calls
