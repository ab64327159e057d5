"""One tenant at a ledger, in memory or in Valkey, with a clock that the test moves. Amounts are nano-dollars."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

import msgspec

from libs.testing.clock import FakeClock
from loadtests.ledger.kept import bare
from loadtests.ledger.pipe import Pipe
from loadtests.ledger.timed import CLOCK, TIMED
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.adapters.ledger.memory import MemoryLedger
from services.gateway.adapters.ledger.outbox import ValkeyOutbox
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.types import Ask, End, Outcome, Overdue, Progress, Settlement, UsageMeta

TIMES = LeaseTimes(lease_seconds=15, grace_seconds=10)
START = 1_700_000_000
MINUTE = 60
SCOPES = ("t", "u:ada", "k:1")
META = UsageMeta("1", "ada", "", "small", "", "", {"team": "blue"}, 10, 1, 20)
_tenants = count()


def budget(limit, duration="total", seconds=0, soft=-1, anchor=START):
    """One budget as scope limits carry it."""
    return [duration, seconds * 1_000_000, limit, soft, anchor * 1_000_000 if seconds else 0]


def used(cost=0, prompt=0, completion=0):
    return Progress(cost, prompt, 0, completion, 0)


class Desk:
    """Calls the ledger as gateways do. `ledger` is what is tested; the rest is told by the class beneath."""

    def __init__(self):
        self.tenant = f"tenant{next(_tenants)}"
        self.asks = {}

    def open(self, *scopes):
        """Scopes that bound nothing."""
        for scope in scopes:
            self.limit(scope)

    def ask(self, request_id, amount, tokens=0, scopes=SCOPES, reservation="", prompt=None):
        ask = Ask(self.tenant, request_id, tuple(scopes), amount, tokens, META, prompt or used(), reservation)
        self.asks[request_id] = ask
        return ask

    def hold(self, request_id, amount, tokens=0, *, expire=True, life=None, **of_ask):
        ask = self.ask(request_id, amount, tokens, **of_ask)
        return self.do(self.ledger.hold(life or self.life(), ask, expire=expire))

    def held(self, request_id, amount, tokens=0, **more):
        """Holds, and it must be granted."""
        reply = self.hold(request_id, amount, tokens, **more)
        assert reply.outcome is Outcome.OK, reply
        return reply

    def refused(self, request_id, amount, tokens=0, **more):
        """Holds, and it must be refused: the refusal."""
        reply = self.hold(request_id, amount, tokens, **more)
        assert reply.outcome is Outcome.NO, reply
        return reply.refusal

    def extend(self, request_id, amount=0, tokens=0, progress=None, life=None):
        ask = self.asks.get(request_id) or self.ask(request_id, 0)
        return self.do(self.ledger.extend(life or self.life(), ask, amount, tokens, progress or used()))

    def settle(self, request_id, progress=None, platform=0):
        (outcome,) = self.do(
            self.ledger.settle([Settlement(self.tenant, request_id, End.SETTLED, progress or used(), platform)])
        )
        return outcome

    def refund(self, request_id, platform=0):
        (outcome,) = self.do(self.ledger.settle([Settlement(self.tenant, request_id, End.REFUNDED, used(), platform)]))
        return outcome

    def redeclare(self, request_id, amount, tokens=0, *, ago=0, progress=None, life=None, scopes=SCOPES, **of_ask):
        ask = self.ask(request_id, amount, tokens, scopes, **of_ask)
        at = self.now_us() - int(ago * 1_000_000)
        return self.do(self.ledger.redeclare(life or self.life(), ask, at, progress or used()))

    def overdue(self, limit=100):
        return self.do(self.ledger.overdue(self.tenant, limit))

    def end(self, overdue: Overdue, end=End.EXPIRED, progress=None):
        return self.do(self.ledger.end(self.tenant, overdue, end, progress or overdue.progress))

    def expire(self, limit=100):
        return self.do(self.ledger.expire(self.tenant, limit))

    def reserve(self, name, amount, scopes=("t",), life=None, terms=None):
        return self.do(self.ledger.reserve(life or self.life(), self.tenant, name, amount, scopes, terms))

    def find(self, name):
        return self.do(self.ledger.find(self.tenant, name))

    def release(self, name):
        return self.do(self.ledger.release(self.tenant, name))

    def life(self):
        return self.do(self.ledger.hello())

    def totals(self, scope="k:1"):
        return self.dump()[scope]

    def window(self, duration, scope="k:1"):
        """(settled, held) of the present window."""
        return self.totals(scope).windows[duration][1:]

    def events(self, request_id=None):
        """What was decided, in order, without the store's ids."""
        return [entry for entry in bare(self.entries()) if request_id in (None, entry.request_id)]

    def everything(self):
        """All that can be seen from outside."""
        return self.dump(), self.events(), [replace(due, age_us=0) for due in self.overdue()]


class MemoryDesk(Desk):
    def __init__(self):
        super().__init__()
        self.clock = FakeClock(unix=float(START))
        self.ledger = MemoryLedger(self.clock, TIMES)

    def do(self, coroutine):
        """Nothing in memory waits."""
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("the ledger in memory waits for something")

    def limit(self, scope, **limits):
        self.ledger.set_limits(self.tenant, scope, msgspec.msgpack.encode(limits))

    def pass_time(self, seconds):
        self.clock.advance(seconds)

    def now_us(self):
        return round(self.clock.unix() * 1_000_000)

    def dump(self):
        return self.ledger.dump(self.tenant)

    def entries(self):
        return self.ledger.outbox(self.tenant)

    def restart(self):
        self.ledger.restart()

    def close(self):
        pass


class ValkeyDesk(Desk):
    def __init__(self, server):
        super().__init__()
        self.server = server
        self.now = START * 1_000_000
        self._connect()

    def _connect(self):
        self.pipe = Pipe(self.server.url)
        self.pipe.load(LEDGER, TIMED)
        self.ledger = ValkeyLedger(self.pipe, TIMES, TIMED)
        self.pass_time(0)

    def do(self, coroutine):
        return self.pipe.run([coroutine])[0]

    def limit(self, scope, **limits):
        self.pipe.now(("HSET", f"{prefix_of(self.tenant)}:{scope}", "lim", msgspec.msgpack.encode(limits)))

    def pass_time(self, seconds):
        self.now += round(seconds * 1_000_000)
        self.pipe.now(("SET", CLOCK, self.now))

    def now_us(self):
        return self.now

    def dump(self):
        return self.do(LedgerReplay(self.pipe).dump(self.tenant))

    def entries(self):
        return self.do(ValkeyOutbox(self.pipe).read(self.tenant, "", 1000))

    def restart(self):
        self.close()
        self.server.kill()
        self.server.start()
        self._connect()

    def close(self):
        self.pipe.close()
