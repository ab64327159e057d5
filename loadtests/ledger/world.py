"""A tenant with users, keys and sessions, and random operations on its ledger. Amounts are nano-dollars x `scale`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

import msgspec

from loadtests.ledger.pipe import Pipe
from services.gateway.adapters.ledger.library import prefix_of
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.hold_record import HELD
from services.gateway.domain.ledger.model import TenantLedger
from services.gateway.domain.ledger.scopes import least_room, unpack_limits
from services.gateway.domain.ledger.types import Ask, End, HoldReply, Outcome, Overdue, Progress, Settlement, UsageMeta

TIMES = LeaseTimes(lease_seconds=0.010, grace_seconds=0.005)
LEASE_US, GRACE_US = 10_000, 5_000
START_US = 1_800_000_000_000_000
LENGTHS_US = {"total": 0, "20ms": 20_000, "1s": 1_000_000, "1m": 60_000_000}
_KEYS = ("k:1", "k:2", "k:3")
# Those that have limits.
SCOPES = ("t", "u:a", *_KEYS)
_USERS = {"k:1": "u:a", "k:2": "u:a", "k:3": ""}
_SESSIONS = ("", "", "s:1", "s:2", "s:3")
# Longest steps of time in microseconds, with their weights: mostly within a lease, at times past windows and minutes.
_STEPS = ((0, 30), (100, 40), (5_000, 24), (60_000, 4), (2_000_000, 1), (90_000_000, 1))


@dataclass(slots=True)
class Operation:
    """One call of a function: on the model, and on the store, at `now`. `expected` is what the model said."""

    kind: str
    now: int
    on_model: Callable[[TenantLedger], Any]
    on_store: Callable[[ValkeyLedger, Pipe], Coroutine[Any, Any, Any]]
    # Ids of holds and reservations that it is about, for a look at their records.
    holds: tuple[str, ...] = ()
    expected: Any = None
    # What it wants to be held.
    amount: int = 0
    # A call that came twice must change nothing the second time.
    repeatable: bool = False
    # What may take a window past its limit: limits that sink, holds that an earlier life granted.
    unchecked: bool = False


@dataclass(slots=True)
class World:
    """Makes operations that depend on what the model has by then, so that most of them are about something."""

    rng: Random
    tenant: str
    life: str = ""
    scale: int = 1
    now: int = START_US
    # Every hold and reservation that was ever asked for.
    asks: dict[str, Ask] = field(default_factory=dict)
    reservations: list[str] = field(default_factory=list)

    def _life(self) -> str:
        """The store's life when it is asked, not when the operation was made."""
        return self.life

    def opening(self) -> list[Operation]:
        """The limits that it begins with."""
        return [self.limits(name, self._some_limits(name)) for name in SCOPES]

    def next(self, model: TenantLedger) -> Operation:
        """A random operation, a random time later."""
        self.pass_time()
        return self.some(model)

    def some(self, model: TenantLedger) -> Operation:
        """A random operation at the present time."""
        kinds = [kind for kind, _ in _KINDS]
        chosen = self.rng.choices(kinds, [weight for _, weight in _KINDS])[0]
        return chosen(self, model)

    def pass_time(self) -> None:
        """Moves the clock on by a random step, seldom back."""
        longest = self.rng.choices([step for step, _ in _STEPS], [weight for _, weight in _STEPS])[0]
        self.now += self.rng.randint(0, longest)
        if self.rng.random() < 0.005:
            self.now -= self.rng.randint(1, 1_000_000)

    # Limits.

    def _change_limits(self, _: TenantLedger) -> Operation:
        scope = self.rng.choice(SCOPES)
        return self.limits(scope, self._some_limits(scope))

    def limits(self, scope: str, limits: dict[str, Any]) -> Operation:
        """Limits that an account change writes."""
        packed = msgspec.msgpack.encode(limits)
        key = f"{prefix_of(self.tenant)}:{scope}"

        def on_model(model: TenantLedger) -> None:
            model.books.limits[scope] = unpack_limits(packed)

        async def on_store(_: ValkeyLedger, pipe: Pipe) -> None:
            await pipe.command("HSET", key, "lim", packed)

        return Operation("limits", self.now, on_model, on_store, unchecked=True)

    def _some_limits(self, scope: str) -> dict[str, Any]:
        rng, found = self.rng, {}
        for name, share, choices in (
            ("rpm", 0.2, (3, 30, 300)),
            ("tpm", 0.3, (1_000, 5_000, 100_000)),
            ("par", 0.2, (2, 6, 20)),
            ("ses", 0.2, (300 * self.scale, 3_000 * self.scale)),
            ("req", 0.1, (100 * self.scale, 300 * self.scale)),
        ):
            if rng.random() < share:
                found[name] = rng.choice(choices)
        if scope == "t" and rng.random() < 0.6:
            found["cap"] = rng.choice((0, 400, 2_000)) * self.scale
        if rng.random() < 0.02:
            found["off"] = rng.choice(("blocked", "deleted"))
        if scope in _KEYS and rng.random() < 0.05:
            found["exp"] = self.now + rng.randint(0, 2_000_000)
        found["b"] = [self._budget(duration) for duration in LENGTHS_US if rng.random() < 0.4]
        return found

    def _budget(self, duration: str) -> list[Any]:
        rng, length = self.rng, LENGTHS_US[duration]
        limit = rng.choice((0, 300, 1_000, 5_000, 20_000, 100_000)) * self.scale
        soft = rng.randint(0, limit) if rng.random() < 0.4 else -1
        # Mostly the same anchor, or one that moved by whole windows; at times another phase.
        anchor = START_US - 7 * length + (rng.choice((0, 0, 0, 1, 3)) * length if length else 0)
        return [duration, length, limit, soft, anchor + (rng.randint(0, length) if rng.random() < 0.03 else 0)]

    # Holds.

    def _some_ask(self, request_id: str) -> Ask:
        rng = self.rng
        key = rng.choice(_KEYS) if rng.random() < 0.97 else "k:nobody"
        amount = rng.choice((0, rng.randint(1, 20), rng.randint(1, 20), rng.randint(1, 120), rng.randint(1, 400)))
        amount *= self.scale
        reservation = rng.choice(self.reservations) if self.reservations and rng.random() < 0.3 else ""
        ask = self.ask(request_id, key, amount, rng.randint(0, 400), rng.choice(_SESSIONS), reservation, known=False)
        ask.prompt = Progress(rng.randint(0, amount), rng.randint(0, 50), rng.randint(0, 5))
        return ask

    def ask(
        self,
        request_id: str,
        key: str,
        amount: int,
        tokens: int,
        session: str = "",
        reservation: str = "",
        *,
        known: bool = True,
    ) -> Ask:
        """What a call of `key` asks for."""
        scopes = tuple(filter(None, ("t", _USERS.get(key, ""), key, session)))
        meta = UsageMeta(key[2:], "a", "", "small", "", "", {"team": "x"}, 1, 1, 1)
        ask = Ask(self.tenant, request_id, scopes, amount, tokens, meta, Progress(), reservation)
        if known:
            self.asks[request_id] = ask
        return ask

    def _hold(self, model: TenantLedger) -> Operation:
        if self.asks and self.rng.random() < 0.06:
            ask = self.asks[self.rng.choice(list(self.asks))]
        else:
            ask = self._some_ask(f"r{len(self.asks)}")
            self.asks[ask.request_id] = ask
            if self.rng.random() < 0.15:
                self._ask_for_the_last(model, ask)
        return self.hold(ask, expire=self.rng.random() < 0.7)

    def _ask_for_the_last(self, model: TenantLedger, ask: Ask) -> None:
        """Exactly what is left, or one more: where rules go wrong first."""
        room = least_room(model.books.load(ask.scopes), self.now)
        if room is not None and room > 0:
            ask.amount = room + self.rng.randint(0, 1)

    def hold(self, ask: Ask, *, expire: bool) -> Operation:
        """A hold for a call."""
        life, now, grace = self._life, self.now, GRACE_US if expire else None
        return Operation(
            "hold",
            now,
            lambda model: model.hold(ask, LEASE_US, grace, now),
            lambda store, _: store.hold(life(), ask, expire=expire),
            (ask.request_id,),
            amount=ask.amount,
            repeatable=True,
        )

    def _some_hold(self, model: TenantLedger) -> str:
        """Mostly one that runs."""
        running = [name for name, hold in model.books.holds.items() if hold.state == HELD]
        if running and self.rng.random() < 0.85:
            return self.rng.choice(running)
        return self.rng.choice(list(self.asks)[-40:]) if self.asks and self.rng.random() < 0.9 else "unknown"

    def progress(self, cost: int, tokens: int) -> Progress:
        """What a call says it has used."""
        return Progress(cost, 1, 0, tokens, 0)

    def _some_progress(self, model: TenantLedger, request_id: str) -> Progress:
        rng, hold = self.rng, model.books.holds.get(request_id)
        held = hold.amount if hold else 0
        cost = rng.choice((0, rng.randint(0, held + 1), held, held + rng.randint(0, 60) * self.scale))
        return Progress(cost, rng.randint(0, 50), rng.randint(0, 5), rng.randint(0, 300), rng.randint(0, 9))

    def _extend(self, model: TenantLedger) -> Operation:
        request_id = self._some_hold(model)
        amount = self.rng.choice((0, self.rng.randint(1, 40) * self.scale))
        return self.extend(request_id, amount, self.rng.randint(0, 100), self._some_progress(model, request_id))

    def extend(self, request_id: str, amount: int, tokens: int, progress: Progress) -> Operation:
        """An extension, or with an amount of 0 a renewal."""
        now, life, ask = self.now, self._life, self.asks.get(request_id) or self._some_ask(request_id)
        return Operation(
            "extend",
            now,
            lambda model: model.extend(request_id, amount, tokens, progress, LEASE_US, now),
            lambda store, _: store.extend(life(), ask, amount, tokens, progress),
            (request_id,),
            repeatable=amount == 0,
        )

    def _settle(self, model: TenantLedger) -> Operation:
        rng, request_id = self.rng, self._some_hold(model)
        platform = rng.choice((0, 0, rng.randint(0, 30) * self.scale))
        progress = self._some_progress(model, request_id)
        return self.settle(request_id, progress, refunded=rng.random() < 0.25, platform=platform)

    def settle(self, request_id: str, progress: Progress, *, refunded: bool, platform: int) -> Operation:
        """An end that a gateway tells."""
        now, end = self.now, End.REFUNDED if refunded else End.SETTLED
        settlement = Settlement(self.tenant, request_id, end, progress, platform)

        async def on_store(store: ValkeyLedger, _: Pipe) -> Any:
            return (await store.settle([settlement]))[0]

        return Operation(
            end.value, now, lambda model: model.settle(settlement, now)[0], on_store, (request_id,), repeatable=True
        )

    def _redeclare(self, model: TenantLedger) -> Operation:
        rng, now, life = self.rng, self.now, self._life
        request_id = f"r{len(self.asks)}" if rng.random() < 0.4 else self._some_hold(model)
        ask = self.asks.setdefault(request_id, self._some_ask(request_id))
        if rng.random() < 0.5:
            ask = Ask(*(getattr(ask, name) for name in Ask.__slots__))
            ask.amount += rng.randint(0, 50) * self.scale
            ask.tokens += rng.randint(0, 50)
        at, progress = now - rng.randint(0, 100_000), self._some_progress(model, request_id)
        return Operation(
            "redeclare",
            now,
            lambda model: model.redeclare(ask, at, progress, LEASE_US, now),
            lambda store, _: store.redeclare(life(), ask, at, progress),
            (request_id,),
            repeatable=True,
            unchecked=True,
        )

    # Leases.

    def _overdue(self, _: TenantLedger) -> Operation:
        now, limit = self.now, self.rng.choice((1, 100))
        return Operation(
            "overdue",
            now,
            lambda model: model.overdue(limit, now),
            lambda store, _: store.overdue(self.tenant, limit),
            repeatable=True,
        )

    def _end(self, model: TenantLedger) -> Operation:
        rng, now = self.rng, self.now
        due = model.overdue(100, now)
        request_id = self._some_hold(model)
        seen = rng.choice(due) if due else Overdue(request_id, now - 5, self._some_ask("").meta, Progress())
        if rng.random() < 0.1:
            seen.lease_us -= 1
        end = rng.choice((End.EXPIRED, End.EXPIRED, End.REFUNDED))
        progress = self._some_progress(model, seen.request_id)
        return Operation(
            "end",
            now,
            lambda model: model.end(seen, end, progress, now),
            lambda store, _: store.end(self.tenant, seen, end, progress),
            (seen.request_id,),
        )

    def _expire(self, _: TenantLedger) -> Operation:
        return self.expire(self.rng.choice((1, 5, 100)))

    def expire(self, limit: int) -> Operation:
        """An end to what is overdue by the grace."""
        now = self.now
        return Operation(
            "expire",
            now,
            lambda model: model.expire(GRACE_US, limit, now),
            lambda store, _: store.expire(self.tenant, limit),
        )

    # Reservations.

    def _reserve(self, _: TenantLedger) -> Operation:
        rng, name = self.rng, f"j{len(self.reservations)}"
        if self.reservations and rng.random() < 0.1:
            name = rng.choice(self.reservations)
        if name not in self.reservations:
            self.reservations.append(name)
        scopes = rng.choice((("t",), ("t", "k:1"), ("t", "u:a", "k:2"), ("t", "k:3", "s:1")))
        return self.reserve(name, rng.randint(0, 500) * self.scale, scopes)

    def reserve(self, name: str, amount: int, scopes: tuple[str, ...]) -> Operation:
        """A reservation."""
        now, life = self.now, self._life
        return Operation(
            "reserve",
            now,
            lambda model: model.reserve(name, amount, scopes, now),
            lambda store, _: store.reserve(life(), self.tenant, name, amount, scopes),
            amount=amount,
            repeatable=True,
        )

    def _release(self, _: TenantLedger) -> Operation:
        return self.release(self.rng.choice(self.reservations) if self.reservations else "none")

    def release(self, name: str) -> Operation:
        """An end to a reservation."""
        now = self.now
        return Operation(
            "release", now, lambda model: model.release(name, now), lambda store, _: store.release(self.tenant, name)
        )

    def _stale(self, _: TenantLedger) -> Operation:
        """Something asked in the name of an earlier life: nothing happens."""
        ask, progress = self._some_ask(f"s{self.rng.random()}"), Progress()
        calls: tuple[Callable[[ValkeyLedger], Coroutine[Any, Any, Any]], ...] = (
            lambda store: store.hold("1", ask, expire=True),
            lambda store: store.extend("1", ask, 5, 5, progress),
            lambda store: store.redeclare("1", ask, self.now, progress),
            lambda store: store.reserve("1", self.tenant, ask.request_id, 5, ("t",)),
        )
        chosen = self.rng.choice(calls)

        async def on_store(store: ValkeyLedger, _: Pipe) -> Any:
            reply = await chosen(store)
            return reply.outcome if isinstance(reply, HoldReply) else reply

        return Operation("stale", self.now, lambda _: Outcome.LIFE, on_store)


_KINDS: tuple[tuple[Callable[[World, TenantLedger], Operation], int], ...] = (
    (World._hold, 34),
    (World._extend, 18),
    (World._settle, 22),
    (World._redeclare, 4),
    (World._overdue, 2),
    (World._end, 3),
    (World._expire, 3),
    (World._reserve, 5),
    (World._release, 3),
    (World._change_limits, 4),
    (World._stale, 2),
)
