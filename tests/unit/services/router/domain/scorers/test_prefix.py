"""What a worker would have to compute."""

from __future__ import annotations

from services.router.domain.scorers.prefix import prefill
from services.router.domain.scorers.question import Question, Wanted
from services.router.domain.worker import Worker


def costs(*cached, tokens=1000):
    workers = [Worker(f"w{n}") for n in range(len(cached))]
    return list(prefill(Question(Wanted(tokens, 0.0), workers, cached, min(cached))))


def test_it_is_what_is_not_cached():
    assert costs(600, 0) == [400.0, 1000.0]
    assert costs(600) == [400]


def test_what_all_have_makes_no_difference():
    assert costs(300, 300, 300) == [700, 700, 700]
    assert costs(900, 300, 300)[1] - costs(900, 300, 300)[0] == 600.0


def test_the_more_workers_have_a_part_the_less_a_further_copy_costs():
    assert costs(600, 600, 0) == [400.0, 400.0, 400.0 + 300.0]
    assert costs(600, 600, 600, 0)[3] == 400.0 + 200.0
    # Two have the first 300, one of them 300 more.
    assert costs(300, 600, 0) == [700.0, 400.0, 700.0 + 150.0]


def test_a_prompt_shorter_than_what_is_cached_costs_nothing():
    assert costs(128, 128, tokens=100) == [0, 0]
