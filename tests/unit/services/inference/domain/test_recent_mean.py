from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.inference.domain.recent_mean import RecentMean

TIMES = st.lists(st.floats(0, 30), max_size=40).map(sorted)


def test_nothing_seen_is_zero_and_what_is_old_is_forgotten():
    recent = RecentMean(seconds=5)
    assert recent.mean(0.0) == 0.0
    recent.add(0.5, 10.0)
    recent.add(0.7, 20.0)
    assert recent.mean(4.9) == 15.0
    assert recent.mean(5.0) == 0.0


@given(TIMES, st.integers(1, 6))
def test_it_is_the_mean_of_the_last_whole_seconds(times, seconds):
    recent = RecentMean(seconds)
    for position, now in enumerate(times):
        recent.add(now, position)
        inside = [value for value, at in enumerate(times[: position + 1]) if at // 1 > now // 1 - seconds]
        assert abs(recent.mean(now) - sum(inside) / len(inside)) < 1e-9
