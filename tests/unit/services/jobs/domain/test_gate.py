"""The gate's arithmetic: what jobs may have of a pool, and what they never get."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.jobs.domain.gate import CALM_SECONDS, WINDOW_FIRST, GateRule, Lately, PoolGate, Told, limit

RULE = GateRule()
shares = st.floats(0.05, 1.0)
rules = st.builds(GateRule, share=shares, share_max=shares, headroom=st.floats(0.0, 0.9))


def warm(gate: PoolGate, told: Told, seconds: float = 40.0) -> float:
    """Tells the same until its window is wide and its memory full; fills what it may have. Returns the time."""
    now = 0.0
    while now < seconds:
        gate.tell(now, Told(told.idle - gate.own, told.running + gate.own, told.waiting, told.wait_ms))
        for _ in range(gate.room(now)):
            gate.began(now)
        now += 0.1
    return now


@given(rules, st.integers(0, 5000), st.integers(0, 5000), st.floats(0.01, 1.0))
def test_jobs_never_get_the_headroom_nor_what_others_have(rule, slots, others, part):
    mine = limit(rule, slots, others, part)
    assert mine >= 0
    if mine:
        assert mine + others + min(ceil(rule.headroom * slots), slots - 1) <= slots
        assert mine <= max(1, rule.share_max * part * slots)
        assert mine <= max(1, rule.share * (slots - others))


@given(rules, st.integers(0, 5000), st.integers(0, 5000))
def test_one_request_may_run_where_anything_is_free(rule, slots, others):
    free = slots - others - min(ceil(rule.headroom * slots), slots - 1)
    assert (limit(rule, slots, others) >= 1) == (free >= 1)


def test_a_pool_of_one_slot_runs_jobs_while_nobody_else_does():
    assert limit(RULE, 1, 0) == 1
    assert limit(RULE, 1, 1) == 0


def test_nothing_begins_before_the_router_has_spoken_and_after_it_fell_silent():
    gate = PoolGate(RULE)
    assert gate.room(0.0) == 0
    gate.tell(0.0, Told(100, 0, 0))
    assert gate.room(0.0) == WINDOW_FIRST
    assert gate.room(RULE.silence_seconds) == WINDOW_FIRST
    assert gate.room(RULE.silence_seconds + 0.01) == 0
    assert not gate.heard(RULE.silence_seconds + 0.01)


def test_an_idle_pool_is_filled_to_the_largest_share():
    gate = PoolGate(RULE)
    warm(gate, Told(100, 0, 0))
    assert gate.own == 50


def test_what_live_calls_had_lately_stays_theirs():
    gate = PoolGate(RULE)
    now = warm(gate, Told(40, 60, 0))
    assert gate.own == int(0.75 * (100 - 60 - 15))
    for _ in range(gate.own):
        gate.ended(now)
    now += 1.0
    gate.tell(now, Told(100, 0, 0))  # a lull
    assert gate.room(now) <= int(0.75 * 25)
    now += 1.1 * RULE.memory_seconds
    gate.tell(now, Told(100, 0, 0))
    gate.tell(now + 0.1, Told(100, 0, 0))
    assert gate.allowed(now + 0.1) > int(0.75 * 25)


def test_a_burst_of_live_calls_stops_jobs_with_the_next_word():
    gate = PoolGate(RULE)
    now = warm(gate, Told(100, 0, 0))
    gate.ended(now)
    gate.tell(now + 0.1, Told(10, 90, 0))
    assert gate.room(now + 0.1) == 0


def test_calls_that_wait_stop_jobs_and_halve_the_window_once():
    gate = PoolGate(RULE)
    now = warm(gate, Told(100, 0, 0))
    own = gate.own
    for _ in range(own):
        gate.ended(now)
    now += 1.0
    for _ in range(own):
        gate.began(now)
    gate.tell(now, Told(10, 90, 3))
    assert gate.room(now) == 0
    gate.tell(now + CALM_SECONDS / 2, Told(10, 90, 3))
    gate.tell(now + 0.6 * CALM_SECONDS, Told(1000, own, 0, 0))
    assert own // 4 <= gate.allowed(now + 0.6 * CALM_SECONDS) <= own // 2 + own // 8 + 1


def test_a_long_wait_in_the_workers_halves_the_window_too():
    gate = PoolGate(RULE)
    now = warm(gate, Told(100, 0, 0))
    gate.tell(now, Told(50, 50, 0, wait_ms=RULE.wait_ms_max + 1))
    assert gate.allowed(now) == 25


def test_a_refusal_closes_the_gate_for_its_time():
    gate = PoolGate(RULE)
    gate.tell(0.0, Told(100, 0, 0))
    gate.began(0.0)
    gate.refused(0.0, 0.5)
    assert gate.room(0.49) == 0
    assert gate.room(0.51) > 0 or gate.own == 1
    gate.ended(0.51)
    assert gate.room(0.51) == 1


def test_a_name_that_the_router_does_not_know_is_tried_out():
    gate = PoolGate(RULE)
    gate.unknown()
    assert gate.heard(0.0)
    assert gate.room(0.0) == RULE.blind_max
    for _ in range(4):
        gate.began(0.0)
    gate.refused(0.0, 0.1)
    for _ in range(4):
        gate.ended(0.2, answered=True)
    assert gate.allowed(0.3) in (2, 3)
    for _ in range(20):
        gate.began(1.0)
        gate.ended(1.0, answered=True)
    assert gate.allowed(1.0) == RULE.blind_max


def test_a_consumer_with_a_part_of_the_work_gets_that_part():
    gate = PoolGate(RULE)
    gate.part = 0.25
    warm(gate, Told(100, 0, 0))
    assert gate.own == int(0.5 * 0.25 * 100)


@given(st.lists(st.tuples(st.floats(0.0, 0.2), st.integers(0, 50)), min_size=1, max_size=200))
def test_lately_holds_the_lowest_and_highest_of_the_window(changes):
    lately, now, seen = Lately(1.0), 0.0, [(0.0, 0)]
    for pause, value in changes:
        now += pause
        lately.set(now, value)
        seen.append((now, value))
    low, high, _ = lately.read(now)
    # Exactly what was in force within the window is in; what ended more than a tenth before it is out.
    ends = [at for at, _ in seen[1:]] + [now]
    within = [value for (_, value), end in zip(seen, ends, strict=True) if end > now - 1.0]
    about = [value for (_, value), end in zip(seen, ends, strict=True) if end >= now - 1.2]
    assert min(about) <= low <= min(within)
    assert max(within) <= high <= max(about)


class Pool:
    """Slots, live calls and consumers. The router tells what was `lag` ticks ago."""

    def __init__(self, slots: int, consumers: int, lag: int) -> None:
        self.slots, self.live, self.lag = slots, 0, lag
        self.gates = [PoolGate(RULE) for _ in range(consumers)]
        for gate in self.gates:
            gate.part = 1 / consumers
        self.told: list[Told] = []
        self.now = 0.0

    @property
    def jobs(self) -> int:
        return sum(gate.own for gate in self.gates)

    def tick(self, live: int, ending: list[int], *, turn: int = 0) -> None:
        """A tenth of a second: live calls change, `ending` of each consumer's calls end, all begin what they may."""
        self.now += 0.1
        self.live = live
        for gate, ends in zip(self.gates, ending, strict=True):
            for _ in range(min(ends, gate.own)):
                gate.ended(self.now)
        wanted = self.live + self.jobs
        running = min(self.slots, wanted)
        self.told.append(Told(self.slots - running, running, wanted - running))
        word = self.told[max(0, len(self.told) - 1 - self.lag)]
        for place in range(len(self.gates)):
            gate = self.gates[(place + turn) % len(self.gates)]
            gate.tell(self.now, word)
            for _ in range(gate.room(self.now)):
                gate.began(self.now)


@pytest.mark.parametrize("consumers", [1, 2, 5])
@pytest.mark.parametrize("lag", [0, 3])
def test_consumers_share_what_is_idle_and_leave_the_headroom(consumers, lag):
    pool = Pool(200, consumers, lag)
    for tick in range(1200):
        pool.tick(80, [1] * consumers, turn=tick)
        assert pool.live + pool.jobs <= 200
    owns = sorted(gate.own for gate in pool.gates)
    assert pool.live + pool.jobs <= 200 - 30 + consumers
    # n a / (1 + (n - 1) a) of the 90 that are left, less what an old word costs.
    a = RULE.share
    assert pool.jobs >= 0.7 * 90 * consumers * a / (1 + (consumers - 1) * a)
    assert owns[0] >= owns[-1] / 2 - 1


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(0, 3))
def test_live_calls_that_stay_within_their_habit_never_find_the_pool_full(data, consumers, lag):
    """Whatever the lag: jobs take no slot that live calls have used within the gate's memory, nor the headroom."""
    pool = Pool(64, consumers, lag)
    habit = data.draw(st.integers(5, 50))
    for _ in range(12):  # the peak is known before any job begins
        pool.live = habit
        for gate in pool.gates:
            gate.tell(pool.now, Told(64 - habit, habit, 0))
            gate.refused(pool.now, 2.0)
        pool.now += 0.1
    for tick in range(data.draw(st.integers(10, 150))):
        live = data.draw(st.integers(0, habit))
        pool.tick(live, [data.draw(st.integers(0, 3)) for _ in range(consumers)], turn=tick)
        # Each consumer may overlook what the others began within the lag: the headroom is there for that.
        assert pool.jobs + habit <= 64
