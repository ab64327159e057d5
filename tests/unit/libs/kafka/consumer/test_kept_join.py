"""The client starts another join where it finds one that is done: a kept one is done once somebody waits for it."""

import pytest
from kafka.future import Future

from libs.kafka.consumer.kafka_member import KeptJoin


def waited_for(future):
    """As the client's `wait_for` does it."""
    outcomes = []
    future.add_callback(outcomes.append)
    future.add_errback(outcomes.append)
    return outcomes


def test_a_join_that_has_ended_counts_as_under_way_until_somebody_waits():
    kept = KeptJoin(Future().success("assignment"))
    assert not kept.is_done
    assert waited_for(kept) == ["assignment"]
    assert kept.is_done


def test_a_join_that_failed_says_so():
    error = ValueError("no")
    kept = KeptJoin(Future().failure(error))
    assert waited_for(kept) == [error]
    assert kept.failed()


def test_a_join_that_ends_while_somebody_waits_reaches_them():
    join = Future()
    outcomes = waited_for(KeptJoin(join))
    assert outcomes == []
    join.success("assignment")
    assert outcomes == ["assignment"]


@pytest.mark.parametrize("turns", [2, 5])
def test_keeping_it_over_and_over_is_keeping_it(turns):
    join = Future()
    kept = KeptJoin(join)
    for _ in range(turns):
        waited_for(kept)
        kept = KeptJoin(kept)
    join.success("assignment")
    assert not kept.is_done
    assert waited_for(kept) == ["assignment"]
