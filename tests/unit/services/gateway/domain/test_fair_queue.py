"""The queue's order: fair between tenants, priorities within, bounded, and nobody starves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from services.gateway.domain.fair_queue import SLACK, FairQueue, QueueBounds, Waiter

NEVER = float("inf")


def waiter(tenant="a", priority=0, at=0.0, deadline=NEVER):
    return Waiter(tenant, priority, at, deadline)


def filled(*waiters, **bounds):
    queue = FairQueue(QueueBounds(**bounds))
    for one in waiters:
        assert queue.push(one)
    return queue


def served(queue, count, now=0.0):
    """The tenants of the next turns; whoever has one leaves."""
    found = []
    for _ in range(count):
        one = queue.pop(now)
        found.append(one.tenant)
        queue.leave(one)
    return found


def test_a_thousand_of_one_tenant_do_not_delay_the_one_of_another():
    queue = filled(*[waiter("crowd", at=at / 1000) for at in range(1000)], waiting_max=2000, tenant_max=1000)
    assert served(queue, 10) == ["crowd"] * 10
    queue.push(waiter("alone", at=1.0))
    assert "alone" in served(queue, 2)


def test_tenants_take_turns_whatever_their_number_of_waiters():
    queue = filled(*[waiter("a") for _ in range(90)], *[waiter("b", at=1.0) for _ in range(30)], waiter("c", at=2.0))
    assert Counter(served(queue, 61)) == {"a": 30, "b": 30, "c": 1}


def test_a_tenant_with_one_waiter_at_a_time_gets_no_more_than_its_share():
    queue = filled(*[waiter("crowd") for _ in range(100)])
    turns = []
    for _ in range(40):
        if "polite" not in {one.tenant for _, _, one in _all(queue)}:
            queue.push(waiter("polite"))
        turns += served(queue, 1)
    assert Counter(turns) == {"crowd": 20, "polite": 20}


def _all(queue):
    return [entry for tenant in queue._tenants.values() for entry in tenant.heap]


def test_a_late_tenant_has_saved_up_no_turns():
    queue = filled(*[waiter("early") for _ in range(100)])
    served(queue, 50)
    for _ in range(20):
        queue.push(waiter("late"))
    assert Counter(served(queue, 20)) == {"early": 10, "late": 10}


def test_each_step_of_priority_doubles_a_tenants_share():
    queue = filled(*[waiter("gold", 1) for _ in range(60)], *[waiter("plain") for _ in range(60)])
    assert Counter(served(queue, 30)) == {"gold": 20, "plain": 10}


def test_within_a_tenant_the_highest_priority_goes_first_and_equals_in_order():
    first, second, urgent = waiter(at=0.0), waiter(at=1.0), waiter(priority=2, at=2.0)
    queue = filled(first, second, urgent)
    assert [queue.pop(3.0) for _ in range(3)] == [urgent, first, second]


def test_waiting_raises_a_priority_so_that_nobody_starves():
    old = waiter(priority=0, at=0.0)
    queue = filled(old, *[waiter(priority=1, at=float(second)) for second in range(20)], ageing_seconds=5.0)
    order = [queue.pop(20.0) for _ in range(21)]
    assert 5 <= order.index(old) <= 6


def test_who_comes_back_has_its_old_place_and_its_tenant_pays_nothing():
    first, second, other = waiter("a", at=0.0), waiter("a", at=1.0), waiter("b", at=2.0)
    queue = filled(first, second, other, waiter("b", at=3.0))
    for _ in range(10):
        assert queue.pop(3.0) is first
        queue.restore(first)
        assert queue.pop(3.0) is other
        queue.restore(other)
    assert [queue.pop(3.0) for _ in range(3)] == [first, other, second]


def test_it_is_bounded_in_all_and_per_tenant_turns_included():
    queue = filled(waiter("a"), waiter("a"), waiting_max=3, tenant_max=2)
    assert not queue.push(waiter("a"))
    one = queue.pop(0.0)
    assert not queue.push(waiter("a"))
    assert queue.push(waiter("b"))
    assert not queue.push(waiter("c"))
    queue.leave(one)
    queue.leave(one)
    assert queue.push(waiter("c"))
    assert len(queue) == 3


def test_the_lowest_priority_makes_way_and_the_newest_of_it():
    old, new, other = waiter("a", -1), waiter("a", -1), waiter("b", 0)
    queue = filled(old, new, other, waiting_max=3)
    assert queue.displaced_by("c", -2) is None
    assert queue.displaced_by("c", 0) is new
    queue.leave(new)
    assert queue.push(waiter("c", 0))
    assert queue.displaced_by("a", 0) is old
    queue.leave(old)
    assert queue.push(waiter("c", 1))
    assert queue.displaced_by("b", 0) is None


def test_room_is_shared_evenly_among_tenants_that_want_it():
    crowd = [waiter("crowd", at=float(number)) for number in range(6)]
    queue = filled(*crowd, waiting_max=6)
    for tenant in "abcab":
        loser = queue.displaced_by(tenant, 0)
        if loser is None:
            continue
        assert loser.tenant == "crowd"
        queue.leave(loser)
        assert queue.push(waiter(tenant))
    assert Counter(one.tenant for _, _, one in _all(queue) if not one.gone) == {"crowd": 2, "a": 2, "b": 1, "c": 1}
    assert queue.displaced_by("crowd", 0) is None
    # Who has its turn cannot be displaced.
    only = filled(waiter("a"), waiting_max=1)
    only.pop(0.0)
    assert only.displaced_by("b", 5) is None


def test_at_its_own_bound_a_tenant_displaces_none_but_its_own():
    mine, other = waiter("a", -1), waiter("b", -2)
    queue = filled(mine, waiter("a"), other, waiting_max=9, tenant_max=2)
    assert queue.displaced_by("a", 0) is mine
    assert queue.displaced_by("a", -1) is None


def test_a_tenant_that_has_enough_is_passed_over_and_keeps_its_place():
    queue = filled(*[waiter("a") for _ in range(3)], *[waiter("b") for _ in range(2)])
    assert [queue.pop(0.0, lambda tenant: tenant != "a").tenant for _ in range(2)] == ["b", "b"]
    # Nobody else waits: what is there is no use to anybody else.
    assert queue.pop(0.0, lambda tenant: tenant != "a").tenant == "a"
    for _ in range(2):
        assert queue.push(waiter("b"))
    assert served(queue, 1) == ["a"]


def test_how_many_are_before_a_newcomer():
    queue = filled(*[waiter("crowd") for _ in range(50)], waiter("b"), waiter("b", 2))
    assert queue.ahead("new", 0) == 2
    assert queue.ahead("crowd", 0) == 52
    assert queue.ahead("b", 0) == 2 + 3
    assert queue.ahead("b", 2) == 1 + 2
    assert queue.ahead("b", 3) == 1
    assert filled().ahead("new", 0) == 0


def test_whose_time_is_up_gets_no_turn():
    late, good = waiter(deadline=5.0), waiter(at=1.0)
    queue = filled(late, good)
    assert queue.pop(5.0) is good
    assert queue.pop(5.0) is None
    queue.leave(late)
    assert len(queue) == 1


@pytest.mark.parametrize("churn", ["come and go", "turn and back"])
def test_void_entries_do_not_pile_up(churn):
    queue = filled(waiter("a"), waiter("b"))
    for _ in range(2000):
        if churn == "come and go":
            one = waiter("a")
            queue.push(one)
            queue.leave(one)
        else:
            queue.restore(queue.pop(0.0))
    assert len(queue._order) <= 2 * 2 + SLACK + 1
    assert len(_all(queue)) <= 2 * 2 + SLACK + 1


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(-9, 9)), max_size=60))
def test_everybody_gets_a_turn_once(who):
    waiters = [waiter(tenant, priority) for tenant, priority in who]
    queue = filled(*waiters)
    turns = [queue.pop(0.0) for _ in who]
    assert queue.pop(0.0) is None
    assert {id(one) for one in turns} == {id(one) for one in waiters}


class Machine(RuleBasedStateMachine):
    """Against a plain set: who waits, who has a turn, and the bounds."""

    def __init__(self):
        super().__init__()
        self.queue = FairQueue(QueueBounds(waiting_max=6, tenant_max=3))
        self.waiting, self.out = [], []
        self.now = 0.0

    @rule(tenant=st.sampled_from("abc"), priority=st.integers(-2, 2), patience=st.sampled_from([1.0, 5.0, NEVER]))
    def push(self, tenant, priority, patience):
        everybody = self.waiting + self.out
        room = len(everybody) < 6 and sum(one.tenant == tenant for one in everybody) < 3
        one = waiter(tenant, priority, self.now, self.now + patience)
        assert self.queue.push(one) == room
        if room:
            self.waiting.append(one)

    @rule(tenant=st.sampled_from("abc"), priority=st.integers(-2, 2))
    def displace(self, tenant, priority):
        """A full queue loses at most one, who waits, is no better than the newcomer, and makes room for it."""
        if self.queue.room(tenant):
            return
        loser = self.queue.displaced_by(tenant, priority)
        if loser is None:
            return
        assert loser in self.waiting
        assert loser.priority <= priority
        self.waiting.remove(loser)
        self.queue.leave(loser)
        one = waiter(tenant, priority, self.now)
        assert self.queue.push(one)
        self.waiting.append(one)

    @rule(barred=st.sampled_from(["", "a", "ab", "abc"]))
    def pop(self, barred):
        one = self.queue.pop(self.now, lambda tenant: tenant not in barred)
        others = [other for other in self.waiting if other.deadline > self.now and other.tenant not in barred]
        assert not (others and one.tenant in barred)
        alive = [other for other in self.waiting if other.deadline > self.now]
        assert (one is None) == (not alive)
        if one is not None:
            assert one in alive
            self.out.append(one)
            self.waiting.remove(one)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), back=st.booleans())
    def end_turn(self, data, back):
        one = self.out.pop(data.draw(st.integers(0, len(self.out) - 1)))
        if back:
            self.queue.restore(one)
            self.waiting.append(one)
        else:
            self.queue.leave(one)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def give_up(self, data):
        self.queue.leave(self.waiting.pop(data.draw(st.integers(0, len(self.waiting) - 1))))

    @rule(seconds=st.sampled_from([0.5, 3.0]))
    def time_passes(self, seconds):
        self.now += seconds

    @invariant()
    def counts(self):
        assert len(self.queue) == len(self.waiting) + len(self.out)
        alive = sum(one.deadline > self.now for one in self.waiting)
        assert alive <= self.queue.waiting <= len(self.waiting)
        if not self.waiting and not self.out:
            assert self.queue.pop(self.now) is None
            assert not self.queue._tenants


TestMachine = Machine.TestCase
