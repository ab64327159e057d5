"""The limit of calls under way: learned from waits, against a server that is a queue; its bounds, whatever happens."""

from __future__ import annotations

import heapq
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from libs.resilience.limiter import ConcurrencyLimiter, FirstTokenWait, LimiterRule


class Server:
    """So many calls at once, each for `service` seconds, the others in a queue; limiters send it all that they may.

    `demand` bounds what each limiter would send at once; `room` what the server takes, running and queued.
    """

    def __init__(self, running, service, limiters, *, demand=10_000, room=10_000):
        self.running_max, self.service, self.room = running, service, room
        self.limiters, self.demand = limiters, [demand] * len(limiters)
        self.now = 0.0
        self.queue, self.events, self.running, self.served = deque(), [], 0, 0
        self.waits = []

    def run(self, seconds):
        until = self.now + seconds
        self._send()
        while self.events and self.events[0][0] <= until:
            self.now, who, sent_at = heapq.heappop(self.events)
            if who >= 0:
                self.running -= 1
                self.served += 1
                self.limiters[who].give_back(self.now - sent_at)
                self._start()
            self._send()
        self.now = until

    def _send(self):
        # In turns, so that no limiter is served before the others.
        more, tried = True, [False] * len(self.limiters)
        while more:
            more = False
            for who, limiter in enumerate(self.limiters):
                if limiter.in_flight >= self.demand[who] or tried[who]:
                    continue
                if not limiter.take():
                    tried[who] = True
                    continue
                more = True
                if self.running + len(self.queue) >= self.room:
                    limiter.give_back()
                    limiter.refused(self.now, self.now)
                    heapq.heappush(self.events, (self.now + 0.05, -1, 0.0))
                    tried[who] = True
                    continue
                self.queue.append((who, self.now))
        self._start()

    def _start(self):
        while self.queue and self.running < self.running_max:
            who, sent_at = self.queue.popleft()
            self.running += 1
            heapq.heappush(self.events, (self.now + self.service * (1 + 0.1 * (self.served % 3)), who, sent_at))
            self.waits.append(self.now - sent_at)
            self.limiters[who].began(sent_at, self.now - sent_at, self.now)


def limiter(workers=1, **rule):
    return ConcurrencyLimiter(LimiterRule(**rule), workers, 0.0)


@pytest.mark.parametrize("start", [1, 10, 400])
@pytest.mark.parametrize("service", [0.2, 2.0])
def test_it_finds_what_the_server_can_run_and_keeps_its_queue_short(start, service):
    one = limiter(start_per_worker=start)
    server = Server(30, service, [one])
    server.run(100 * service)
    served, server.waits = server.served, []
    server.run(100 * service)
    capacity = 30 / (service * 1.1) * 100 * service
    assert server.served - served >= 0.95 * capacity
    waits = sorted(server.waits)
    assert waits[len(waits) // 2] <= 2 * one.target_seconds
    assert 27 <= one.limit <= 30 * 1.6


def test_a_limit_that_nobody_reaches_stays_as_it_is():
    one = limiter(start_per_worker=32)
    Server(100, 0.2, [one], demand=5).run(30)
    assert one.limit == 32


def test_it_grows_where_there_is_demand_and_no_queue():
    one = limiter(start_per_worker=8)
    Server(1000, 0.2, [one], demand=300).run(30)
    assert one.limit >= 300


def test_several_before_the_same_server_come_to_equal_shares():
    greedy, late = limiter(start_per_worker=60), limiter(start_per_worker=2)
    server = Server(40, 0.2, [greedy, late])
    server.run(60)
    limits = []
    for _ in range(40):
        server.run(1)
        limits.append((greedy.limit, late.limit))
    mean = [sum(pair[who] for pair in limits) / len(limits) for who in (0, 1)]
    assert max(mean) / min(mean) < 2.0


def test_a_server_that_gets_slower_is_sent_less():
    one = limiter()
    server = Server(30, 0.2, [one])
    server.run(30)
    before = one.limit
    server.running_max = 10
    server.run(30)
    assert one.limit < 0.6 * before
    server.running_max = 30
    server.run(60)
    assert one.limit >= 27


def test_refusals_bring_it_down_to_what_there_is_room_for():
    one = limiter(start_per_worker=500, target_seconds=1000.0)
    server = Server(20, 0.2, [one], room=20)
    server.run(20)
    assert one.limit <= 40


def test_the_calls_of_before_a_step_do_not_speak_about_it():
    one = limiter(start_per_worker=100)
    for _ in range(100):
        one.take()
    for number in range(60):
        one.began(0.0, 5.0, 1.0 + number * 0.01)
    after = one.limit
    assert 50 <= after < 100
    for number in range(60):
        one.began(0.5, 5.0, 3.0 + number * 0.01)
        one.refused(0.5, 3.0)
    assert one.limit == after


def test_calls_of_an_idle_time_do_not_speak_for_a_limit_that_is_reached_later():
    one = limiter(start_per_worker=50)
    for number in range(20):
        one.take()
        one.began(number * 0.01, 0.0, number * 0.01)
    while one.take():
        pass
    one.began(0.19, 0.0, 0.4)
    for number in range(20):
        one.began(0.19, 0.0, 0.41 + number * 0.05)
    assert one.limit == 50
    for number in range(20):
        one.began(0.5, 0.0, 1.5 + number * 0.05)
    assert one.limit > 50


def test_it_follows_the_number_of_workers():
    one = limiter(workers=2, start_per_worker=10)
    one.resize(4, 1.0)
    assert one.limit == 40
    one.resize(1, 2.0)
    assert one.limit == 10
    one.resize(0, 3.0)
    assert one.limit == 10


def test_long_answers_may_wait_for_longer():
    one = limiter(target_seconds=0.05, target_share=0.05)
    assert one.target_seconds == 0.05
    one.take()
    one.give_back(10.0)
    assert one.target_seconds == 0.5


def test_what_a_provider_does_not_tell_is_guessed_from_first_tokens():
    wait = FirstTokenWait(window_seconds=10.0)
    assert wait.of(0.2, 0.0) == 0.0
    assert wait.of(0.4, 1.0) == 0.0
    assert wait.of(1.0, 2.0) == pytest.approx(0.6)
    assert wait.of(1.0, 11.0) == pytest.approx(0.6)
    assert wait.of(1.0, 22.0) == 0.0


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.floats(0, 100), max_size=200))
def test_no_waits_whatever_take_it_out_of_its_bounds(workers, most, waits):
    one = limiter(workers=workers, limit_max=most)
    for number, wait in enumerate(waits):
        one.take()
        one.began(number * 0.1, wait, number * 0.1 + 0.01)
        assert min(workers, max(most, workers)) <= one.limit <= max(most, workers)


class Machine(RuleBasedStateMachine):
    """Every call that takes a place gives it back once: the count is right, and the limit within its bounds."""

    def __init__(self):
        super().__init__()
        self.now, self.workers = 0.0, 3
        self.one = limiter(workers=3, start_per_worker=2, limit_max=20)
        self.running = []

    @rule()
    def take(self):
        before, limit = self.one.in_flight, self.one.limit
        assert self.one.has_room() == (before < limit)
        assert self.one.take() == (before < limit)
        if before < limit:
            self.running.append(self.now)

    @precondition(lambda self: self.running)
    @rule(wait=st.sampled_from([0.0, 0.01, 0.06, 5.0]))
    def begin(self, wait):
        self.one.began(self.running[-1], wait, self.now)

    @precondition(lambda self: self.running)
    @rule(seconds=st.sampled_from([None, 0.1, 10.0]))
    def end(self, seconds):
        self.running.pop(0)
        self.one.give_back(seconds)

    @precondition(lambda self: self.running)
    @rule()
    def refuse(self):
        sent_at = self.running.pop()
        self.one.give_back()
        self.one.refused(sent_at, self.now)

    @rule(workers=st.integers(0, 30))
    def scale(self, workers):
        self.workers = max(1, workers)
        self.one.resize(workers, self.now)

    @rule(seconds=st.sampled_from([0.01, 0.2, 60.0]))
    def wait(self, seconds):
        self.now += seconds

    @invariant()
    def bounded(self):
        assert self.one.in_flight == len(self.running)
        assert self.workers <= self.one.limit <= max(20, self.workers)


TestMachine = Machine.TestCase
