"""Windows of a budget: where they begin, and what is kept of those that are over."""

from __future__ import annotations

import pytest

from services.gateway.domain.ledger.windows import BudgetLimit, Window, Windows

TEN = BudgetLimit("10s", 10, 100, -1, 3)


@pytest.mark.parametrize(("now", "start"), [(3, 3), (12, 3), (13, 13), (99, 93), (0, 3), (-50, 3)])
def test_windows_follow_each_other_from_the_anchor_and_none_is_before_it(now, start):
    assert TEN.start_at(now) == start


def test_a_window_that_is_over_is_kept_as_long_as_something_is_held_in_it():
    windows = Windows(Window(3, settled=5, held=7))
    assert windows.roll(TEN, 13) == Window(13)
    windows.move(3, 4, -4)
    assert windows.at(3) == Window(3, settled=9, held=3)
    windows.move(3, 3, -3)
    assert (windows.at(3), windows.aside) == (None, {})


def test_a_window_without_holds_is_forgotten_when_it_is_over():
    windows = Windows(Window(3, settled=5))
    windows.roll(TEN, 13)
    assert windows.at(3) is None
    windows.move(3, 9, 0)
    assert windows.present == Window(13)


def test_time_that_steps_back_does_not_bring_an_earlier_window_back():
    windows = Windows(Window(3))
    windows.roll(TEN, 25)
    assert windows.roll(TEN, 4).start == 23


@pytest.mark.parametrize("anchor", [3 - 70, 3 + 10])
def test_an_anchor_that_moves_by_whole_windows_changes_nothing(anchor):
    windows = Windows(Window(23, settled=5))
    assert windows.roll(TEN._replace(anchor_us=anchor), 25) == Window(23, settled=5)


def test_an_anchor_of_another_phase_begins_another_window():
    windows = Windows(Window(23, settled=5, held=2))
    assert windows.roll(TEN._replace(anchor_us=1), 25) == Window(21)
    assert windows.at(23) == Window(23, settled=5, held=2)


def test_a_copy_goes_its_own_way():
    windows = Windows(Window(3, held=1))
    windows.roll(TEN, 13)
    other = windows.copy()
    other.move(3, 0, 5)
    other.move(13, 0, 5)
    assert (windows.at(3).held, windows.present.held) == (1, 0)
