"""What waits ahead, and what it weighs."""

from __future__ import annotations

import pytest

from services.router.domain.scorers.question import Question, Wanted
from services.router.domain.scorers.queue import Queue
from services.router.domain.worker import Worker


def worker(name, *, waiting=0, running=0, sent=0.0):
    made = Worker(name)
    made.waiting, made.told = waiting, waiting + running
    made.placed(0.0, 1000.0)
    made.forget_placed(10.0)
    if sent:
        made.placed(10.0, sent)
    made.weigh(10.0)
    return made


def costs(*workers, share=0.2, running_tokens=0.0, load_factor=1.25):
    return list(Queue(share, running_tokens, load_factor)(Question(Wanted(100, 10.0), workers, [0] * len(workers), 0)))


def test_calls_that_wait_count_at_the_mean_of_a_call():
    assert costs(worker("a", waiting=3), worker("b", running=3)) == [pytest.approx(0.2 * 3000), 0.0]


def test_a_running_call_counts_for_its_part_of_a_step():
    assert costs(worker("a", running=3), worker("b", running=1), running_tokens=50.0) == pytest.approx([30.0, 10.0])


def test_where_all_have_a_queue_prefixes_are_kept_together_the_more():
    free = costs(worker("a", waiting=20), worker("b", running=1), load_factor=1000.0)
    full = costs(worker("a", waiting=25), worker("b", waiting=5), load_factor=1000.0)
    assert free[0] - free[1] == pytest.approx(0.2 * 20_000)
    assert full[0] - full[1] == pytest.approx(0.1 * 20_000)


def test_few_calls_are_never_beyond_the_bound():
    assert costs(worker("a", running=15), worker("b")) == [0.0, 0.0]
    assert costs(worker("a", running=40), worker("b"))[0] > 0.0
