"""Hypothesis looks for operations on which store and model differ, and shrinks what it finds."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from libs.testing.valkey import ValkeyProcess
from loadtests.ledger.pipe import Pipe
from loadtests.ledger.runner import Episode, Tally
from loadtests.ledger.timed import TIMED
from loadtests.ledger.world import LENGTHS_US, SCOPES, World
from services.gateway.adapters.ledger.library import LEDGER

SMALL = st.integers(0, 60)
RUNS = iter(range(10**9))


class Ledger(RuleBasedStateMachine):
    """Every rule plays one operation on both, compares the reply and all that is kept, and checks the books."""

    url = ""

    @initialize()
    def opens(self):
        self.world = World(Random(0), f"any{next(RUNS)}")
        self.episode = Episode(Pipe(self.url), self.world, Tally())
        for scope in SCOPES:
            self.play(self.world.limits(scope, {}))

    def play(self, operation):
        self.episode.play([self.episode.plan(operation)])

    @rule(
        scope=st.sampled_from(SCOPES),
        budgets=st.dictionaries(st.sampled_from(sorted(LENGTHS_US)), st.tuples(SMALL, st.integers(-1, 30)), max_size=2),
        rates=st.dictionaries(st.sampled_from(("rpm", "tpm", "par", "ses", "req")), st.integers(1, 40), max_size=1),
    )
    def limits_change(self, scope, budgets, rates):
        listed = [[name, LENGTHS_US[name], limit, min(soft, limit), 0] for name, (limit, soft) in budgets.items()]
        self.play(self.world.limits(scope, {**rates, "b": listed}))

    @rule(us=st.sampled_from((1, 5_000, 10_000, 15_000, 20_000, 1_000_000, 60_000_000, -20_000)))
    def time_passes(self, us):
        self.world.now += us

    @rule(amount=SMALL, tokens=SMALL, key=st.sampled_from(SCOPES[2:]), drawn=st.booleans(), expire=st.booleans())
    def holds(self, amount, tokens, key, drawn, expire):
        name = f"r{len(self.world.asks)}"
        reservation = self.world.reservations[-1] if drawn and self.world.reservations else ""
        ask = self.world.ask(name, key, amount, tokens, session="s:1", reservation=reservation)
        self.play(self.world.hold(ask, expire=expire))

    @rule(amount=SMALL, tokens=SMALL, cost=SMALL, at=st.integers(0, 3))
    @precondition(lambda self: self.world.asks)
    def extends(self, amount, tokens, cost, at):
        self.play(self.world.extend(self.recent(at), amount, tokens, self.world.progress(cost, tokens)))

    @rule(cost=SMALL, tokens=SMALL, refunded=st.booleans(), platform=SMALL, at=st.integers(0, 3))
    @precondition(lambda self: self.world.asks)
    def settles(self, cost, tokens, refunded, platform, at):
        used = self.world.progress(cost, tokens)
        self.play(self.world.settle(self.recent(at), used, refunded=refunded, platform=platform))

    def recent(self, at):
        names = list(self.world.asks)
        return names[max(0, len(names) - 1 - at)]

    @rule()
    def expires(self):
        self.play(self.world.expire(100))

    @rule(amount=SMALL, scopes=st.sampled_from((("t",), ("t", "k:1"), ("t", "u:a", "k:2"))))
    def reserves(self, amount, scopes):
        name = f"j{len(self.world.reservations)}"
        self.world.reservations.append(name)
        self.play(self.world.reserve(name, amount, scopes))

    @rule()
    @precondition(lambda self: self.world.reservations)
    def releases(self):
        self.play(self.world.release(self.world.reservations[-1]))

    def teardown(self):
        if hasattr(self, "episode"):
            try:
                self.episode.end()
            finally:
                self.episode.close()


@pytest.fixture(scope="module")
def store():
    with ValkeyProcess() as process:
        pipe = Pipe(process.url)
        pipe.load(LEDGER, TIMED)
        pipe.close()
        yield process


def test_store_and_model_agree_whatever_is_asked(store):
    machine = type("LedgerHere", (Ledger,), {"url": store.url})
    checks = list(HealthCheck)
    limits = settings(max_examples=150, stateful_step_count=40, suppress_health_check=checks, derandomize=True)
    run_state_machine_as_test(machine, settings=limits)
