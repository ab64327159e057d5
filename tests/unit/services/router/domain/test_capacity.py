from services.router.domain.capacity import Capacity, capacity
from services.router.domain.worker import Description, StateMessage, Worker


def worker(running=0, waiting=0, queue_ms=0, running_max=4, sent=0):
    made = Worker("h:1", Description("w", "b", "m", (), "d", running_max=running_max))
    made.last = StateMessage("b", 1, True, running, waiting, False, True, queue_ms=queue_ms)  # noqa: FBT003
    made.told, made.waiting = running + waiting, waiting
    for _ in range(sent):
        made.placed(0.0)
    return made


def test_slots_are_what_is_left_of_running_max_without_own_placements():
    assert capacity([worker(running=1), worker(running=3, sent=1)]) == Capacity(2, 5, 0, 3, 0)


def test_a_worker_with_a_queue_has_no_slot_and_the_shortest_wait_counts():
    seen = capacity([worker(4, 2, queue_ms=900), worker(4, 1, queue_ms=300)])
    assert seen == Capacity(2, 8, 3, 0, 300)
    assert capacity([worker(4, 2, queue_ms=900), worker(1)]) == Capacity(2, 5, 2, 3, 0)


def test_a_full_worker_whose_queue_has_not_moved_makes_wait_all_the_same():
    assert capacity([worker(4, 1)]).queue_wait_ms == 1
    assert capacity([worker(3, sent=1)]).queue_wait_ms == 1


def test_an_engine_that_does_not_say_how_many_it_runs_gets_one_at_a_time():
    assert capacity([worker(running_max=0)]).slots_idle == 1
    assert capacity([worker(1, running_max=0)]).slots_idle == 0


def test_nobody_has_no_capacity():
    assert capacity([]) == Capacity(0, 0, 0, 0, 0)
