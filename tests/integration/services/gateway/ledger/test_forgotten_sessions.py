"""Session trees whose state the store has forgotten."""

from __future__ import annotations

import msgspec

from libs.testing.valkey import ValkeyProcess
from loadtests.ledger.pipe import Pipe
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.types import Ask, Progress, UsageMeta

META = UsageMeta("1", "", "", "small", "", "", {}, 1, 1, 1)
SESSIONS = 200


def test_the_list_of_scopes_does_not_grow_with_sessions_that_are_over():
    prefix = prefix_of("acme")
    with ValkeyProcess() as store:
        pipe = Pipe(store.url)
        pipe.load(LEDGER)
        pipe.now(("HSET", f"{prefix}:t", "lim", msgspec.msgpack.encode({})))
        ledger = ValkeyLedger(pipe, LeaseTimes())
        (life,) = pipe.run([ledger.hello()])
        longest = 0
        for number in range(SESSIONS):
            ask = Ask("acme", f"r{number}", ("t", f"s:{number}"), 1, 0, META, Progress())
            pipe.run([ledger.hold(life, ask, expire=True)])
            (listed,) = pipe.now(("SCARD", f"{prefix}:scopes"))
            longest = max(longest, listed)
            pipe.now(("DEL", f"{prefix}:s:{number}"))  # as its expiry does
        (kept,) = pipe.now(("SISMEMBER", f"{prefix}:scopes", "t"))
        pipe.close()
    assert longest < SESSIONS / 10
    assert kept == 1
