"""Gateways of two versions at one store, each with its own functions."""

from __future__ import annotations

import msgspec

from libs.testing.valkey import ValkeyProcess
from libs.valkey import FunctionLibrary
from loadtests.ledger.pipe import Pipe
from services.gateway.adapters.ledger.library import LEDGER, prefix_of
from services.gateway.adapters.ledger.replay import LedgerReplay
from services.gateway.adapters.ledger.store import LeaseTimes, ValkeyLedger
from services.gateway.domain.ledger.types import Ask, Outcome, Progress, Settlement, UsageMeta

META = UsageMeta("1", "", "", "small", "", "", {}, 1, 1, 1)


def test_two_versions_side_by_side_see_each_others_holds():
    other = FunctionLibrary("ledger", LEDGER.source + "\n-- another version\n")
    with ValkeyProcess() as store:
        pipe = Pipe(store.url)
        pipe.load(LEDGER, other)
        limits = msgspec.msgpack.encode({"b": [["total", 0, 100, -1, 0]]})
        pipe.now(("HSET", f"{prefix_of('acme')}:t", "lim", limits))
        ledgers = [ValkeyLedger(pipe, LeaseTimes(), library) for library in (LEDGER, other)]
        lives = pipe.run([ledger.hello() for ledger in ledgers])
        assert lives[0] == lives[1]
        outcomes = []
        for number in range(12):
            ask = Ask("acme", f"r{number}", ("t",), 10, 0, META, Progress())
            (reply,) = pipe.run([ledgers[number % 2].hold(lives[number % 2], ask, expire=True)])
            outcomes.append(reply.outcome)
        pipe.run([ledgers[0].settle([Settlement("acme", "r1", progress=Progress(4))])])
        (dump,) = pipe.run([LedgerReplay(pipe).dump("acme")])
        pipe.close()
    assert outcomes == [Outcome.OK] * 10 + [Outcome.NO] * 2
    assert (dump["t"].settled, dump["t"].held, dump["t"].running) == (4, 90, 9)
