"""Hypothesis looks for operations on which store and model differ, and shrinks what it finds."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from libs.testing.valkey import ValkeyProcess
from services.jobs.domain.agenda import Task
from tests.contract.services.jobs.adapters.store.desk import HOUR, KEEP
from tests.integration.services.jobs.store import pair
from tests.integration.services.jobs.store.pair import FIVE_SECONDS, KINDS, Pair

JOB = st.sampled_from(sorted(KINDS))
PART = st.integers(0, 2)
# Mostly the present one.
NEAR = st.sampled_from((0, 0, 0, -1, 1))
STATUSES = st.lists(st.tuples(st.integers(0, 2), st.sampled_from((200, 200, 400))), max_size=4)
SECONDS = st.sampled_from((0.001, FIVE_SECONDS, 10, 30, 60, HOUR, KEEP, -FIVE_SECONDS))


class Jobs(RuleBasedStateMachine):
    """Every rule plays one operation on both, compares the answer and all that is kept, and checks what is owed."""

    server = None

    @initialize()
    def opens(self):
        self.pair = Pair(self.server)

    @rule(seconds=SECONDS)
    def time_passes(self, seconds):
        self.pair.play(pair.pass_time, seconds)

    @rule(job=JOB)
    def creates(self, job):
        self.pair.play(pair.create, job)

    @rule(job=JOB)
    def accepts(self, job):
        self.pair.play(pair.create, job)
        self.pair.play(pair.add_parts, job, 0, 2)
        self.pair.play(pair.confirm, job)

    @rule(job=JOB, first=PART, count=st.integers(0, 2))
    def adds_parts(self, job, first, count):
        self.pair.play(pair.add_parts, job, first, count)

    @rule(job=JOB)
    def confirms(self, job):
        self.pair.play(pair.confirm, job)

    @rule(job=JOB, reason=st.sampled_from(("", "NO_MONEY")))
    def refuses(self, job, reason):
        self.pair.play(pair.refuse, job, reason)

    @rule(job=JOB, operation=st.sampled_from((pair.cancel, pair.expire)))
    def ends(self, job, operation):
        self.pair.play(operation, job)

    @rule(job=JOB, part=PART, operation=st.sampled_from((pair.begin, pair.replay)))
    def begins(self, job, part, operation):
        self.pair.play(operation, job, part)

    @rule(job=JOB, part=PART, epoch=NEAR, tokens=st.integers(0, 3))
    def renews(self, job, part, epoch, tokens):
        self.pair.play(pair.renew, job, part, epoch, tokens)

    @rule(job=JOB, part=PART, epoch=NEAR, statuses=STATUSES)
    def applies(self, job, part, epoch, statuses):
        self.pair.play(pair.apply, job, part, epoch, statuses)

    @rule(job=JOB, part=PART, epoch=NEAR)
    def puts_back(self, job, part, epoch):
        self.pair.play(pair.put_back, job, part, epoch)

    @rule(job=JOB, part=PART, epoch=NEAR, steps=st.integers(0, 3))
    def gives_up(self, job, part, epoch, steps):
        self.pair.play(pair.give_up, job, part, epoch, steps)

    @rule(job=JOB, part=PART, epoch=NEAR, other=JOB)
    def asks_much_at_once(self, job, part, epoch, other):
        self.pair.play(pair.batch_of_asks, job, part, epoch, other)

    @rule(job=JOB, statuses=st.sampled_from((200, 500)))
    def finishes(self, job, statuses):
        for part in range(pair.PARTS):
            self.pair.play(pair.begin, job, part)
            self.pair.play(pair.apply, job, part, 0, [(0, statuses), (1, 200)])

    @rule(limit=st.integers(0, 3))
    def claims(self, limit):
        self.pair.play(pair.claim, limit)

    @rule(task=st.sampled_from(Task), job=JOB, part=PART)
    def is_done(self, task, job, part):
        self.pair.play(pair.done, task, job, part)

    @rule(task=st.sampled_from(Task), job=JOB, part=PART, at_ms=st.sampled_from((0, 1, 5_000)))
    def does_later(self, task, job, part, at_ms):
        self.pair.play(pair.later, task, job, part, at_ms)

    @rule(job=JOB, version=st.integers(-3, 1), with_files=st.booleans())
    def tells(self, job, version, with_files):
        self.pair.play(pair.told, job, version, with_files)

    @rule(job=JOB, version=st.integers(-3, 1), other=JOB)
    def announces(self, job, version, other):
        self.pair.play(pair.announce, job, version, other)

    @rule(
        job=JOB,
        version=st.integers(-3, 1),
        status=st.sampled_from((0, 200, 503)),
        state=st.sampled_from(("pending", "delivered", "failed")),
    )
    def hooks(self, job, version, status, state):
        self.pair.play(pair.hooked, job, version, status, state)

    @rule(job=JOB, part=PART, first=st.integers(0, 3), limit=st.integers(0, 3))
    def looks(self, job, part, first, limit):
        self.pair.play(pair.look, job, part, first, limit)

    def teardown(self):
        if hasattr(self, "pair"):
            self.pair.close()


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


def test_store_and_model_agree_whatever_is_asked(server):
    machine = type("JobsHere", (Jobs,), {"server": server})
    checks = list(HealthCheck)
    limits = settings(
        max_examples=150, stateful_step_count=40, suppress_health_check=checks, derandomize=True, deadline=None
    )
    run_state_machine_as_test(machine, settings=limits)
