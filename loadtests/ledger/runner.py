"""Plays random operations on the model and on a real store, and compares every reply and all that the store keeps."""

from __future__ import annotations

import copy
import pickle
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.valkey import FunctionLibrary
from loadtests.ledger.books_check import BooksCheck, ViolationError
from loadtests.ledger.kept import Kept, kept_by_model, kept_by_store
from loadtests.ledger.pipe import Pipe
from loadtests.ledger.timed import CLOCK, TIMED
from loadtests.ledger.world import GRACE_US, TIMES, Operation, World
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import ValkeyLedger
from services.gateway.domain.ledger.books import Books
from services.gateway.domain.ledger.hold_record import HELD
from services.gateway.domain.ledger.model import TenantLedger
from services.gateway.domain.ledger.types import HoldReply, Outcome

# Nothing is forgotten while it runs: the store forgets by its own clock, which these operations do not move.
_FOREVER_US = 2**62
# Kinds that change nothing when they come again, whatever came in between, once they were done.
_ONCE = ("hold", "settled", "refunded", "reserve")


@dataclass(slots=True)
class Tally:
    """What was played, by kind and outcome; `torn` crashes are those in which some operations happened unanswered."""

    operations: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    torn: int = 0


class Episode:
    """One tenant's operations. Raises ViolationError where store and model differ, or the books break a rule."""

    def __init__(self, pipe: Pipe, world: World, tally: Tally, library: FunctionLibrary = TIMED) -> None:
        self.world = world
        self.model = TenantLedger(Books(ended_us=_FOREVER_US))
        self._tally = tally
        self._library = library
        self._check = BooksCheck()
        self._compared, self._last_id = 0, ""
        self._touched: set[str] = set()
        self._connect(pipe)

    def _connect(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._store = ValkeyLedger(pipe, TIMES, self._library)
        pipe.now(("SET", CLOCK, self.world.now))
        (self.world.life,) = pipe.run([self._store.hello()])

    def play(self, operations: Sequence[Operation]) -> None:
        """Plays planned operations on the store, all in one write, and compares."""
        coroutines = []
        for operation in operations:
            coroutines += [self._pipe.command("SET", CLOCK, operation.now), operation.on_store(self._store, self._pipe)]
        for operation, reply in zip(operations, self._pipe.run(coroutines)[1::2], strict=True):
            _require_reply(operation, reply)
        try:
            self._compare_kept()
        except ViolationError as problem:
            raise ViolationError(f"after {[(op.kind, op.now, op.expected) for op in operations]}: {problem}") from None

    def plan_opening(self) -> list[Operation]:
        """The limits that the tenant begins with."""
        return [self.plan(operation) for operation in self.world.opening()]

    def plan_some(self, number: int) -> list[Operation]:
        """Random operations; at times one comes twice, and must change nothing then."""
        planned: list[Operation] = []
        while len(planned) < number:
            planned.append(self.plan(self.world.next(self.model)))
            if planned[-1].repeatable and self.world.rng.random() < 0.08:
                planned.append(self._plan_again(planned[-1]))
        return planned

    def plan(self, operation: Operation) -> Operation:
        """Plays an operation on the model and checks the books."""
        operation.expected = operation.on_model(self.model)
        self._tally.operations[operation.kind] += 1
        self._tally.outcomes[f"{operation.kind} {outcome_of(operation.expected)}"] += 1
        self._touched.update(f"hold:{name}" for name in operation.holds)
        self._check.after(self.model.books, unchecked=operation.unchecked)
        if isinstance(operation.expected, HoldReply):
            self._check.check_refusal(self.model.books, operation.expected, operation.amount)
        return operation

    def _plan_again(self, operation: Operation) -> Operation:
        before = pickle.dumps(self.model.books)
        again = self.plan(copy.copy(operation))
        if outcome_of(operation.expected) != Outcome.NO and pickle.dumps(self.model.books) != before:
            raise ViolationError(f"a repeated {operation.kind} at {operation.now} changed the books")
        return again

    def _keys(self) -> list[str]:
        return sorted(self._touched) + [f"res:{name}" for name in self.world.reservations]

    def _compare_kept(self) -> None:
        keys = self._keys()
        found, self._last_id = kept_by_store(self._pipe, self.world.tenant, self._last_id, keys)
        if wrong := difference(found, kept_by_model(self.model, self._compared, keys)):
            raise ViolationError(wrong)
        self._compared = len(self.model.outbox())
        self._touched.clear()

    def crash(self, number: int, kill: Callable[[], Pipe]) -> None:
        """Kills the store while operations are under way, then repeats all that were not answered.

        `kill` kills the store and returns a connection to its next life. What the store has then must be what the
        model had after some of the operations, those that were answered at least: none was done by half.
        """
        states, planned = [self._pickled()], []
        for _ in range(number):
            planned.append(self.plan(self.world.next(self.model)))
            states.append(self._pickled())
        answered, pipe = self._send_and_kill(planned, kill)
        self._connect(pipe)
        happened = self._go_back(states, answered)
        self._tally.crashes += 1
        self._tally.torn += happened > answered
        self._repeat(planned, answered, happened)

    def _pickled(self) -> bytes:
        return pickle.dumps((self.model.books, self._check))

    def _send_and_kill(self, planned: Sequence[Operation], kill: Callable[[], Pipe]) -> tuple[int, Pipe]:
        pipe, rng, operations = self._pipe, self.world.rng, []
        for operation in planned:
            coroutine = operation.on_store(self._store, pipe)
            pipe.send([("SET", CLOCK, operation.now), *coroutine.send(None)])
            operations.append((operation, coroutine))
        until = time.perf_counter() + rng.random() * 0.0004 * len(planned)
        while time.perf_counter() < until:
            pass
        following = kill()
        replies = pipe.receive_left()
        pipe.close()
        for (operation, coroutine), reply in zip(operations, replies[1::2], strict=False):
            _require_reply(operation, _result(coroutine, reply))
        for _, coroutine in operations:
            coroutine.close()
        # Replies may have been on their way: whoever asked has seen the first ones at most.
        return rng.randint(0, len(replies) // 2), following

    def _go_back(self, states: Sequence[bytes], answered: int) -> int:
        """Takes the model back to what the store has; how many of the operations that is."""
        keys = self._keys()
        found, _ = kept_by_store(self._pipe, self.world.tenant, self._last_id, keys)
        for happened in range(answered, len(states)):
            self.model.books, self._check = pickle.loads(states[happened])  # noqa: S301 -- our own
            if found == kept_by_model(self.model, self._compared, keys):
                return happened
        last = difference(found, kept_by_model(self.model, self._compared, keys))
        raise ViolationError(f"after a crash the store has what none of its operations led to; {last}")

    def _repeat(self, planned: Sequence[Operation], answered: int, happened: int) -> None:
        again = []
        for at, operation in enumerate(planned[answered:], answered):
            before = pickle.dumps(self.model.books)
            done = at < happened and operation.kind in _ONCE and outcome_of(operation.expected) == Outcome.OK
            again.append(self.plan(copy.copy(operation)))
            if done and pickle.dumps(self.model.books) != before:
                raise ViolationError(f"a {operation.kind} repeated after a crash was done twice")
        self.play(again)

    def end(self) -> None:
        """All gateways are gone: everything expires, reservations are released, nothing is held any more.

        And what the outbox says, played into an empty ledger, is what was settled.
        """
        # A clock that stepped back has leases that end long after now.
        leases = [hold.lease_us for hold in self.model.books.holds.values() if hold.state == HELD]
        self.world.now = max([self.world.now, *leases]) + GRACE_US
        while outcome_of(self.plan(expiry := self.world.expire(100)).expected) != "0":
            self.play([expiry])
        self.play([self.plan(self.world.release(name)) for name in self.world.reservations])
        for scope, state in self.model.books.states.items():
            if state.held or state.running or state.reserved:
                raise ViolationError(f"when all had ended, {scope} still had {state}")
        self._rebuild()

    def close(self) -> None:
        """Disconnects."""
        self._pipe.close()

    def _rebuild(self) -> None:
        tenant, replay = f"{self.world.tenant}-rebuilt", LedgerReplay(self._pipe)
        (entries,) = self._pipe.run([ValkeyOutbox(self._pipe).read(self.world.tenant, "", 1_000_000)])
        self._pipe.run([replay.apply(tenant, [entry]) for entry in entries + entries])
        (rebuilt,) = self._pipe.run([replay.dump(tenant)])
        for scope, totals in self.model.dump().items():
            found = rebuilt[scope].settled if scope in rebuilt else 0
            if found != totals.settled:
                raise ViolationError(f"rebuilt, {scope} has settled {found} and not {totals.settled}")


def outcome_of(reply: Any) -> str:
    """The outcome in a word, for counting."""
    if isinstance(reply, HoldReply):
        return reply.outcome.value if reply.refusal is None else f"{reply.outcome.value} {reply.refusal.kind}"
    if isinstance(reply, Outcome):
        return reply.value
    return str(reply) if isinstance(reply, int) else "-"


def difference(found: Kept, due: Kept) -> str:
    """What differs first; "" = nothing."""
    for name in Kept.__slots__:
        has, should = getattr(found, name), getattr(due, name)
        if has != should:
            return f"{name} of the store and the model differ:\n{_differing(has, should)}"
    return ""


def _differing(has: Any, should: Any) -> str:
    if isinstance(has, dict):
        wrong = [name for name in has.keys() | should.keys() if has.get(name) != should.get(name)]
        return "\n".join(f"{name}: store {has.get(name)}, model {should.get(name)}" for name in sorted(wrong))
    return f"store {has}\nmodel {should}"


def _require_reply(operation: Operation, reply: Any) -> None:
    if reply != operation.expected:
        raise ViolationError(
            f"{operation.kind} at {operation.now}:\nstore replied {reply}\nmodel says    {operation.expected}"
        )


def _result(coroutine: Any, reply: Any) -> Any:
    try:
        coroutine.send([reply])
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coroutine asked the store twice")
