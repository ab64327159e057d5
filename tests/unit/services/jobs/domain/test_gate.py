"""The gate's arithmetic: what jobs may have of a pool, and what they never get."""

from __future__ import annotations

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.gate import CALM_SECONDS, WINDOW_FIRST, GateRule, Lately, PoolGate, Told, limit, share_of
from tests.unit.services.jobs.domain.pool_simulation import Load, Pool

RULE = GateRule()
shares = st.floats(0.05, 1.0)
rules = st.builds(GateRule, share=shares, share_max=shares, headroom=st.floats(0.0, 0.9))


def warm(gate: PoolGate, told: Told, *, begin: float = 0.0, seconds: float = 40.0) -> float:
    """Tells the same until its window is wide and its memory full; fills what it may have. Returns the time."""
    now = begin
    while now < begin + seconds:
        gate.tell(now, Told(told.idle - gate.own, told.running + gate.own, told.waiting, told.wait_ms))
        for _ in range(gate.room(now)):
            gate.began(now)
        now += 0.1
    return now


@given(rules, st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 5000), st.floats(0.01, 1.0))
def test_jobs_get_neither_the_headroom_nor_what_others_have_or_lately_had(rule, slots, others, peak, part):
    mine = limit(rule, slots, others, peak, part)
    assert mine >= 0
    if mine:
        assert mine + others + min(ceil(rule.headroom * slots), slots - 1) <= slots
        assert mine + peak <= slots
        assert mine <= max(1, rule.share_max * part * slots)
        assert mine <= max(1, rule.share * (slots - max(others, peak)))


@given(rules, st.integers(1, 5000), st.integers(0, 5000), st.integers(0, 5000))
def test_one_request_may_run_where_anything_is_free(rule, slots, others, peak):
    free = slots - max(peak, others + min(ceil(rule.headroom * slots), slots - 1))
    assert (limit(rule, slots, others, peak) >= 1) == (free >= 1)


@given(st.floats(0.05, 0.99), st.integers(1, 50))
def test_all_consumers_together_settle_at_the_share(share, consumers):
    own = share_of(GateRule(share=share), 1 / consumers)
    assert consumers * own / (1 + (consumers - 1) * own) == pytest.approx(share)


def test_a_pool_of_one_slot_runs_jobs_while_nobody_else_does():
    assert limit(RULE, 1, 0, 0) == 1
    assert limit(RULE, 1, 1, 1) == 0
    assert limit(RULE, 1, 0, 1) == 0


def test_nothing_begins_before_the_router_has_spoken_and_after_it_fell_silent():
    gate = PoolGate(RULE, lambda: 0.0)
    assert gate.room(0.0) == 0
    gate.tell(0.0, Told(100, 0, 0))
    assert gate.room(0.0) == WINDOW_FIRST
    assert gate.room(RULE.silence_seconds) == WINDOW_FIRST
    assert gate.room(RULE.silence_seconds + 0.01) == 0
    assert not gate.heard(RULE.silence_seconds + 0.01)


def test_an_idle_pool_is_filled_to_the_largest_share():
    gate = PoolGate(RULE, lambda: 0.0)
    warm(gate, Told(100, 0, 0))
    assert gate.own == 50


def test_what_live_calls_had_lately_stays_theirs():
    gate = PoolGate(RULE, lambda: 0.0)
    now = warm(gate, Told(40, 60, 0))
    assert gate.own == int(0.75 * (100 - 60 - 15))
    for _ in range(gate.own):
        gate.ended(now)
    now += 1.0
    gate.tell(now, Told(100, 0, 0))  # a lull
    assert gate.room(now) <= int(0.75 * 40)
    later = warm(gate, Told(100, 0, 0), begin=now, seconds=1.3 * RULE.memory_seconds)
    assert later > now + RULE.memory_seconds
    assert gate.own == 50


def test_a_burst_of_live_calls_stops_jobs_with_the_next_word():
    gate = PoolGate(RULE, lambda: 0.0)
    now = warm(gate, Told(100, 0, 0))
    gate.ended(now)
    gate.tell(now + 0.1, Told(10, 90, 0))
    assert gate.room(now + 0.1) == 0


def test_calls_that_wait_stop_jobs_and_halve_the_window_once():
    gate = PoolGate(RULE, lambda: 0.0)
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


def test_nothing_begins_while_calls_wait():
    gate = PoolGate(RULE, lambda: 0.0)
    gate.tell(0.0, Told(100, 0, 0))
    assert gate.room(0.0) == WINDOW_FIRST
    gate.tell(0.1, Told(100, 0, 1))
    assert gate.room(0.1) == 0


def test_a_long_wait_in_the_workers_halves_the_window_too():
    gate = PoolGate(RULE, lambda: 0.0)
    now = warm(gate, Told(100, 0, 0))
    gate.tell(now, Told(50, 50, 0, wait_ms=RULE.wait_ms_max + 1))
    assert gate.allowed(now) == 25


def test_a_refusal_closes_the_gate_for_its_time():
    gate = PoolGate(RULE, lambda: 0.0)
    gate.tell(0.0, Told(100, 0, 0))
    gate.began(0.0)
    gate.refused(0.0, 0.5)
    gate.ended(0.1)
    assert gate.room(0.49) == 0
    assert gate.room(0.51) == 1


def test_a_name_that_the_router_does_not_know_is_tried_out():
    gate = PoolGate(RULE, lambda: 0.0)
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
    gate = PoolGate(RULE, lambda: 0.0)
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


@pytest.mark.parametrize("consumers", [1, 3])
@pytest.mark.parametrize("job_seconds", [0.42, 4.0])
def test_live_calls_at_half_the_capacity_do_not_notice_a_full_queue_of_jobs(consumers, job_seconds):
    """Time to the first token is 60 ms without a wait: p99 with jobs is at most 1.1 times that without."""
    load = Load(consumers=consumers, job_seconds=job_seconds)
    seen, alone = Pool(32, load, RULE).run(300.0), Pool(32, Load(consumers=0), RULE).run(300.0)
    assert len(seen.waits) > 10_000
    assert 0.06 + seen.wait(0.99) <= 1.1 * (0.06 + alone.wait(0.99))
    idle_seconds = 300.0 * 32 * (1 - load.live)
    assert seen.jobs * job_seconds > 0.12 * idle_seconds


def test_without_the_gate_live_calls_wait_behind_jobs():
    seen = Pool(32, Load(job_seconds=4.0), RULE, gated=False).run(60.0)
    assert seen.wait(0.99) > 0.5


@pytest.mark.parametrize("consumers", [1, 3])
def test_a_pool_without_live_calls_is_filled_to_the_largest_share(consumers):
    load = Load(live=0.001, job_seconds=2.0, consumers=consumers)
    seen = Pool(64, load, RULE).run(120.0)
    assert seen.jobs * 2.0 > 0.8 * RULE.share_max * 64 * 120.0


def test_consumers_get_about_the_same():
    pool = Pool(100, Load(live=0.4, job_seconds=1.0, consumers=4), RULE)
    owns = [[] for _ in pool.gates]
    noted = pool._word

    def word(now, place):
        noted(now, place)
        owns[place].append(pool.gates[place].own)

    pool._word = word
    pool.run(60.0)
    means = [sum(own[200:]) / len(own[200:]) for own in owns]
    assert min(means) > 0.6 * max(means)
    assert max(means) > 1


def test_where_less_is_left_than_there_are_consumers_they_do_not_all_begin_at_once():
    pool = Pool(16, Load(live=0.5, job_seconds=4.0, consumers=16), RULE)
    most = 0
    noted = pool._jobs

    def jobs(now, place):
        nonlocal most
        noted(now, place)
        most = max(most, sum(gate.own for gate in pool.gates))

    pool._jobs = jobs
    seen = pool.run(60.0)
    assert seen.jobs > 0
    assert most <= 9
