import pytest

from cli.view.pace import WINDOW_SECONDS, Pace


def test_nothing_is_said_before_there_is_something_to_say():
    pace = Pace()
    assert (pace.tokens_per_second, pace.seconds_left(5)) == (0, None)
    pace.see(10, 1, 100)
    pace.see(10, 2, 200)
    assert (pace.tokens_per_second, pace.seconds_left(5)) == (0, None)


def test_it_counts_from_the_first_news_not_from_zero():
    pace = Pace()
    pace.see(100, 50, 5_000)
    pace.see(110, 60, 5_300)
    assert pace.tokens_per_second == pytest.approx(30)
    assert pace.seconds_left(40) == pytest.approx(40)


def test_what_is_long_ago_does_not_count():
    pace = Pace()
    pace.see(0, 0, 0)
    for second in range(1, 200):
        pace.see(second, 1_000, 90_000)
    assert pace.tokens_per_second == 0
    assert pace.seconds_left(10) is None
    assert len(pace._seen) <= WINDOW_SECONDS + 2


def test_tokens_of_a_lost_answer_are_no_negative_pace():
    pace = Pace()
    pace.see(0, 0, 500)
    pace.see(1, 0, 20)
    assert pace.tokens_per_second == 0
