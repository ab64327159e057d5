"""What is derived from traces."""

from __future__ import annotations

import pytest

from loadtests.replay.synthetic import AgentMix, agents, hot_tenant
from loadtests.replay.trace import Trace, ceiling, part, request, spread, with_sessions


def trace(*rows):
    return Trace("made", tuple(request(n, at, (len(ids) * 512, 1), ids) for n, (at, ids) in enumerate(rows)))


def test_the_ceiling_is_what_one_shared_cache_would_have():
    assert ceiling(trace((0, [1, 2]), (0, [1, 2, 3]), (0, [4, 2]))) == pytest.approx(2 / 7)


def test_a_session_goes_on_where_an_earlier_prompt_but_its_last_block_is_the_prefix():
    made = with_sessions(
        list(trace((0, [0, 1, 2, 9]), (0, [0, 5, 6]), (0, [0, 1, 2, 3, 4]), (0, [0, 7]), (0, [0, 1, 2, 3, 8])).requests)
    )
    names = [item.session for item in made]
    assert names == ["session-0", "session-1", "session-0", "session-3", "session-0"]


def test_arrivals_are_spread_within_their_interval_and_keep_their_order():
    base = trace((0, [1]), (0, [2]), (3000, [3]), (3000, [4]), (9000, [5]))
    times = [item.arrival_ms for item in spread(base, 7).requests]
    assert times == sorted(times)
    assert all(
        low <= at < high
        for at, (low, high) in zip(times, [(0, 3e3), (0, 3e3), (3e3, 9e3), (3e3, 9e3), (9e3, 12e3)], strict=True)
    )
    assert [item.arrival_ms for item in spread(base, 7, 2.0).requests] == pytest.approx([at / 2 for at in times])
    assert times != [item.arrival_ms for item in spread(base, 8).requests]


def test_a_part_begins_at_zero():
    second = part(trace((0, [1]), (10, [2]), (20, [3]), (30, [4])), 0.5, 1.0)
    assert [(item.number, item.arrival_ms) for item in second.requests] == [(0, 0.0), (1, 10.0)]


def test_made_up_agents_are_the_same_for_a_seed_and_their_turns_grow():
    mix = AgentMix(minutes=2.0, sessions_per_second=0.3)
    made, again = agents(1, mix), agents(1, mix)
    assert [item.blocks for item in made.requests] == [item.blocks for item in again.requests]
    assert [item.arrival_ms for item in made.requests] == sorted(item.arrival_ms for item in made.requests)
    last = {}
    for item in made.requests:
        before = last.get(item.session)
        if before is not None:
            assert item.blocks[: len(before) - 1] == before[:-1]
        last[item.session] = item.blocks
    assert any(item.root_session for item in made.requests)


def test_a_hot_tenant_is_added_to_the_middle_third_alone():
    base = trace(*((n * 1000.0, [n]) for n in range(300)))
    hot = [item.arrival_ms for item in hot_tenant(base, 1).requests if item.tenant == "hot"]
    assert len(hot) > 50
    assert min(hot) >= 99_000
    assert max(hot) <= 200_000
