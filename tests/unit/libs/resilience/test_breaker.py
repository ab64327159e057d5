"""The breaker against a plain account of what it was told, and its rules one by one."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from libs.resilience.breaker import REFUSED, Breaker, BreakerRule, State

RULE = BreakerRule(
    failures_in_a_row=3, failure_share=0.5, calls_min=8, window_seconds=10.0, open_seconds=1.0, open_seconds_max=8.0,
    jitter=0.25,
)  # fmt: skip


def made(rule=RULE, uniform=0.0):
    seen = []
    return Breaker(rule, lambda: uniform, lambda state, cause: seen.append((state, cause))), seen


def opened(now=0.0, **kwargs):
    breaker, seen = made(**kwargs)
    for _ in range(3):
        breaker.failed(breaker.admit(now), now, "connect")
    return breaker, seen


def test_failures_in_a_row_open_it_and_a_success_between_them_does_not():
    breaker, seen = made()
    for _ in range(20):
        for failed in (True, True, *(False,) * 5):
            permit = breaker.admit(0.0)
            breaker.failed(permit, 0.0, "error") if failed else breaker.succeeded(permit, 0.0)
    assert not seen
    for _ in range(3):
        breaker.failed(breaker.admit(1.0), 1.0, "error")
    assert seen == [(State.OPEN, "error")]
    assert breaker.admit(1.0) == REFUSED


def test_a_share_of_failures_opens_it_only_from_so_many_calls_on():
    breaker, seen = made()
    for index in range(7):
        permit = breaker.admit(0.0)
        breaker.succeeded(permit, 0.0) if index % 2 else breaker.failed(permit, 0.0, "error")
    assert not seen
    breaker.failed(breaker.admit(0.0), 0.0, "error")
    assert breaker.state is State.OPEN


def test_what_is_older_than_the_window_does_not_count():
    breaker, _ = made()
    for now in range(0, 80, 2):
        breaker.failed(breaker.admit(now), now, "error")
        breaker.succeeded(breaker.admit(now), now)
    assert breaker.state is State.OPEN, "half of a full window"
    breaker, _ = made()
    for now in range(0, 800, 20):
        breaker.failed(breaker.admit(now), now, "error")
        breaker.succeeded(breaker.admit(now), now)
    assert breaker.state is State.CLOSED


def test_one_probe_gets_through_and_its_success_closes():
    breaker, seen = opened()
    assert breaker.admit(0.99) == REFUSED
    probe = breaker.admit(1.0)
    assert probe
    assert breaker.probes(probe)
    assert [breaker.admit(1.0 + i) for i in range(50)] == [REFUSED] * 50
    breaker.succeeded(probe, 1.2)
    assert [state for state, _ in seen] == [State.OPEN, State.HALF_OPEN, State.CLOSED]
    assert breaker.admit(1.2)


def test_a_released_probe_leaves_its_place_to_the_next_call():
    breaker, _ = opened()
    first = breaker.admit(1.0)
    breaker.released(first)
    second = breaker.admit(1.0)
    assert second
    assert second != first
    breaker.released(first)
    assert breaker.admit(1.0) == REFUSED, "a repeat takes nothing from the second probe"
    breaker.succeeded(first, 1.0)
    assert breaker.state is State.HALF_OPEN


def test_late_words_of_a_state_that_is_over_are_not_heard():
    breaker, _ = made()
    old = [breaker.admit(0.0) for _ in range(10)]
    for permit in old[:3]:
        breaker.failed(permit, 0.0, "lost")
    breaker.succeeded(old[3], 0.1)
    assert breaker.state is State.OPEN
    breaker.succeeded(breaker.admit(1.0), 1.0)
    for permit in old[4:]:
        breaker.failed(permit, 1.0, "lost")
    assert breaker.state is State.CLOSED


def test_the_open_time_doubles_up_to_a_cap_and_is_jittered_downwards():
    for uniform, share in ((0.0, 1.0), (1.0, 0.75)):
        breaker, _ = opened(uniform=uniform)
        now, waits = 0.0, []
        for _ in range(7):
            waits.append(breaker.wait_seconds(now))
            now += waits[-1]
            breaker.failed(breaker.admit(now), now, "connect")
        assert waits == pytest.approx([share * x for x in (1, 2, 4, 8, 8, 8, 8)])


def test_one_that_opens_again_soon_after_it_closed_stays_open_for_longer_and_a_steady_one_starts_anew():
    breaker, _ = opened()
    breaker.succeeded(breaker.admit(1.0), 1.0)
    breaker.trip(2.0, "slow")
    assert breaker.wait_seconds(2.0) == 2.0
    breaker.succeeded(breaker.admit(4.0), 4.0)
    breaker.trip(15.0, "slow")
    assert breaker.wait_seconds(15.0) == 1.0


def test_a_pause_is_no_failure_and_ends_in_time_or_early():
    breaker, seen = made()
    breaker.pause(0.0, 5.0)
    breaker.pause(0.0, 2.0)
    assert breaker.admit(4.9) == REFUSED
    assert breaker.refuses(4.9) == "paused"
    assert breaker.wait_seconds(3.0) == 2.0
    assert breaker.admit(5.0)
    breaker.pause(5.0, 3.0)
    breaker.resume()
    assert breaker.admit(5.0)
    breaker.pause(5.0, 1e9)
    assert breaker.wait_seconds(5.0) == RULE.pause_seconds_max
    assert not seen


def test_a_probe_that_is_asked_for_a_pause_waits_for_its_end():
    breaker, _ = opened()
    probe = breaker.admit(1.0)
    breaker.pause(1.0, 4.0)
    breaker.released(probe)
    assert breaker.admit(4.9) == REFUSED
    assert breaker.admit(5.0)


class Account(RuleBasedStateMachine):
    """Never two probes; never open without failures; always half-open in the end; a released probe is given on."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.turns = []
        self.breaker = Breaker(RULE, lambda: 0.5, lambda state, cause: self.turns.append((self.now, state, cause)))
        self.permits = []
        self.probes = set()
        self.blame = 0

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.4, 1.0, 3.0, 20.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @rule()
    def admit(self):
        state = self.breaker.state
        why = self.breaker.refuses(self.now)
        permit = self.breaker.admit(self.now)
        assert bool(permit) == (why == "")
        if permit:
            self.permits.append(permit)
            if state is not State.CLOSED:
                assert not self.probes, "two probes are out"
                self.probes.add(permit)

    def _take(self, index):
        permit = self.permits.pop(index % len(self.permits))
        self.probes.discard(permit)
        return permit

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0, 100))
    def succeed(self, index):
        permit = self.permits[index % len(self.permits)]
        probed = self.breaker.probes(permit)
        self.breaker.succeeded(self._take(index), self.now)
        if probed:
            assert self.breaker.state is State.CLOSED
            self.blame = 0

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0, 100))
    def fail(self, index):
        permit = self.permits[index % len(self.permits)]
        probed = self.breaker.probes(permit)
        before = self.breaker.state
        self.breaker.failed(self._take(index), self.now, "error")
        self.blame += 1
        if probed:
            assert self.breaker.state is State.OPEN
        elif before is not State.CLOSED:
            assert self.breaker.state is before

    @precondition(lambda self: self.permits)
    @rule(index=st.integers(0, 100))
    def release(self, index):
        before = self.breaker.state
        self.breaker.released(self._take(index))
        assert self.breaker.state is before

    @rule()
    def trip(self):
        self.breaker.trip(self.now, "silent")
        self.probes.clear()
        self.blame += 1
        assert self.breaker.state is State.OPEN

    @rule(seconds=st.floats(0, 30))
    def pause(self, seconds):
        self.breaker.pause(self.now, seconds)

    @invariant()
    def is_open_only_for_a_cause(self):
        if self.breaker.state is not State.CLOSED:
            assert self.blame
            assert self.breaker.cause

    @invariant()
    def gets_a_probe_in_the_end(self):
        wait = self.breaker.wait_seconds(self.now)
        if self.breaker.state is State.CLOSED or self.probes:
            return
        assert wait <= max(RULE.open_seconds_max, 30.0) + 1e-6
        assert self.breaker.refuses(self.now + wait + 1e-6) == ""

    @invariant()
    def turns_are_those_of_the_machine(self):
        allowed = {
            State.CLOSED: {State.OPEN}, State.OPEN: {State.HALF_OPEN}, State.HALF_OPEN: {State.OPEN, State.CLOSED},
        }  # fmt: skip
        state = State.CLOSED
        for _, after, _ in self.turns:
            assert after in allowed[state]
            state = after
        assert state is self.breaker.state


def test_in_any_order_of_events_there_is_one_probe_a_cause_and_a_way_back():
    run_state_machine_as_test(Account, settings=settings(max_examples=150, stateful_step_count=60, deadline=None))
