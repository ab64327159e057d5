import itertools

import numpy as np
import pytest

from services.router.domain.caches import Caches
from services.router.domain.placement import Placement, PlacementRule
from services.router.domain.registry import Registry
from services.router.domain.scorers.question import Wanted
from services.router.domain.worker import Description, StateMessage

TOKENS = 16


def blocks(*numbers):
    return np.array(numbers, np.uint64)


class Pool:
    """Workers w0, w1, … with what they hold and have to do."""

    def __init__(self, count=3, rule=None, *, kv_events=True):
        self.registry = Registry([f"h:{n}" for n in range(count)], 1e9, Caches())
        self.placement = Placement(self.registry.caches, rule or PlacementRule(), itertools.repeat(0.5).__next__)
        self.sequences = [0] * count
        for n in range(count):
            self.say(n)
            said = Description(f"w{n}", "b", "m", (), "d", block_tokens=TOKENS, blocks=10_000, kv_events=kv_events)
            self.registry.described(f"h:{n}", said)
        self.workers = list(self.registry.workers.values())

    def say(self, n, *, running=0, waiting=0, kv_use=0.0, stored=(), now=0.0):
        self.sequences[n] += 1
        message = StateMessage(
            "b", self.sequences[n], self.sequences[n] == 1, running, waiting, False, True,  # noqa: FBT003
            kv_use=kv_use, stored=blocks(*stored), blocks_held=self.registry.caches.index.held(n) + len(stored),
        )  # fmt: skip
        self.registry.heard(f"h:{n}", message, now)

    def choose(self, chain, *, tokens=None, now=1.0, **wanted):
        tokens = len(chain) * TOKENS + 5 if tokens is None else tokens
        return self.placement.choose(Wanted(tokens, now, blocks(*chain), **wanted), self.workers)

    def place(self, chain, **wanted):
        plan = self.choose(chain, **wanted)
        first, now = plan[0], wanted.get("now", 1.0)
        self.placement.placed(Wanted(len(chain) * TOKENS + 5, now, blocks(*chain)), first)
        return first.worker.name


def test_a_prompt_goes_where_its_prefix_is():
    pool = Pool()
    pool.say(1, stored=range(1, 9))
    pool.say(2, stored=range(1, 4))
    plan = pool.choose(range(1, 11))
    assert [(place.worker.name, place.reason, place.cached_tokens) for place in plan] == [
        ("w1", "prefix", 128),
        ("w2", "spare", 48),
        ("w0", "spare", 0),
    ]
    # Two have the first 48 tokens: a third copy counts for half.
    assert [place.cost for place in plan] == [165 - 128, 165 - 48, 165 - 48 / 2]


def test_what_all_workers_have_is_no_reason():
    pool = Pool()
    for n in range(3):
        pool.say(n, stored=range(1, 9), running=2 if n == 0 else 0)
    plan = pool.choose(range(1, 11))
    assert plan[0].worker.name != "w0"
    assert plan[0].reason == "least-loaded"
    assert {place.cached_tokens for place in plan} == {128}


def test_the_last_token_is_always_computed():
    pool = Pool(1)
    pool.say(0, stored=range(1, 5))
    assert pool.choose(range(1, 5), tokens=64)[0].cached_tokens == 48


def test_a_prompt_whose_length_nobody_said_is_as_long_as_its_blocks():
    pool = Pool()
    pool.say(1, stored=range(1, 9))
    assert [place.cached_tokens for place in pool.choose(range(1, 11), tokens=0)] == [8 * TOKENS, 0, 0]
    pool.say(1, stored=range(9, 11))
    assert [place.cached_tokens for place in pool.choose(range(1, 11), tokens=0)] == [9 * TOKENS, 0, 0]


def test_a_worker_that_does_not_say_how_long_its_blocks_are_hides_nothing_of_the_others():
    pool = Pool()
    pool.registry.described("h:0", Description("w0", "b", "m", (), "d"))
    pool.say(1, stored=range(1, 9))
    plan = pool.choose(range(1, 11))
    assert (plan[0].worker.name, plan[0].reason, plan[0].cached_tokens) == ("w1", "prefix", 128)


def test_a_queue_that_costs_more_than_the_prefix_saves_wins():
    pool = Pool(2, PlacementRule(queue_share=0.5, balance_share=0.0, running_tokens=0.0))
    pool.say(0, stored=range(1, 101))
    for n in range(20):
        pool.workers[0].placed(0.1 * n, 400.0)
    pool.say(0, waiting=7, now=10.0)
    assert pool.choose(range(1, 102), now=10.0)[0].worker.name == "w0"  # 1,600 saved, half of 2,800 wait
    pool.say(0, waiting=9, now=10.1)
    assert pool.choose(range(1, 102), now=10.1)[0].worker.name == "w1"


def test_what_was_just_sent_counts_before_the_worker_says_so():
    pool = Pool(2, PlacementRule(balance_share=0.0))
    assert {pool.place(range(n, n + 10)) for n in (100, 200)} == {"w0", "w1"}


def test_a_burst_of_one_prefix_goes_together_until_its_queue_costs_more():
    pool = Pool(3, PlacementRule(queue_share=0.2))
    burst = [pool.place([*range(1, 201), 1000 + n], now=1.0 + n / 1000) for n in range(12)]
    assert len(set(burst)) == 1
    assert pool.place(range(5000, 5200), now=1.1) != burst[0]


def test_a_burst_is_spread_when_it_is_mostly_different():
    pool = Pool(3)
    burst = [pool.place([1, *range(100 * n, 100 * n + 50)]) for n in range(1, 10)]
    assert {burst.count(name) for name in ("w0", "w1", "w2")} == {3}


def test_load_beyond_the_bound_counts_like_whole_prompts():
    def cost(load_factor, running=40):
        pool = Pool(2, PlacementRule(load_factor=load_factor, running_tokens=0.0, queue_share=0.5))
        pool.say(0, running=running)
        return {place.worker.name: place.cost for place in pool.choose([1], tokens=100)}

    # Mean load 20: bound 26 of (41 * 1.25 / 2), so that fifteen are too many.
    assert cost(1.25) == {"w0": 100 + 15 * 50, "w1": 100}
    assert cost(1.6) == {"w0": 100 + 8 * 50, "w1": 100}
    assert cost(3.0) == {"w0": 100, "w1": 100}
    assert cost(1.25, running=10) == {"w0": 100, "w1": 100}  # so few that differences mean nothing


def test_a_full_kv_cache_makes_a_worker_dear():
    pool = Pool(2)
    pool.say(0, stored=range(1, 50), kv_use=1.0)
    assert pool.choose(range(1, 101))[0].worker.name == "w1"
    pool.say(0, kv_use=0.9)
    assert pool.choose(range(1, 101))[0].worker.name == "w0"


def test_work_of_the_last_minutes_spreads_new_prompts_when_no_queue_shows():
    pool = Pool(4)
    got = {f"w{n}": 0 for n in range(4)}
    for n in range(200):
        length = 10 + 50 * (n % 7)
        now = float(n)
        for worker in range(4):
            pool.say(worker, now=now)
        got[pool.place(range(1000 * (n + 1), 1000 * (n + 1) + length), now=now)] += length
    assert max(got.values()) / (sum(got.values()) / 4) < 1.1


def test_old_work_is_forgotten():
    pool = Pool(2)
    pool.workers[0].placed(0.0, 1e6)
    costs = []
    for now in (1.0, 121.0, 5000.0):
        pool.say(0, now=now)
        costs.append({p.worker.name: p.cost for p in pool.choose([1], now=now)}["w0"])
    assert costs[0] > 1.9 * costs[1] > 10 * costs[2]


def test_equals_are_told_apart_by_the_key_so_that_replicas_agree():
    def choices(random):
        pool = Pool(4)
        pool.placement._random = random
        return [pool.choose([n], key=f"k{n}")[0] for n in range(40)]

    one, two = choices(lambda: 0.0), choices(lambda: 0.9)
    assert [place.worker.name for place in one] == [place.worker.name for place in two]
    assert {place.worker.name for place in one} == {"w0", "w1", "w2", "w3"}
    assert {place.reason for place in one} == {"rendezvous"}
    assert {p.worker.name for p in (Pool(4).choose([1]),) for p in p[:1]} == {"w2"}  # no key: 0.5 of four


def test_sub_agents_go_to_their_roots_worker_unless_the_queue_costs_more():
    pool = Pool(3, kv_events=False)
    plan = pool.choose(range(1, 101), root="w2", key="k")
    assert (plan[0].worker.name, plan[0].reason) == ("w2", "tree")
    pool.workers[2].placed(0.9, 5000.0)
    pool.workers[2].weigh(0.9)
    assert pool.choose(range(1, 101), root="w2", key="k")[0].worker.name != "w2"


def test_a_known_prefix_is_stronger_than_the_root():
    pool = Pool(3)
    pool.say(0, stored=range(1, 91))
    plan = pool.choose(range(1, 101), root="w2")
    assert (plan[0].worker.name, plan[0].reason) == ("w0", "prefix")


@pytest.mark.parametrize("places_max", [1, 2, 4])
def test_the_plan_has_no_more_places_than_the_rule_and_none_twice(places_max):
    names = [place.worker.name for place in Pool(3, PlacementRule(places_max=places_max)).choose([1], key="k")]
    assert len(names) == len(set(names)) == min(3, places_max)
