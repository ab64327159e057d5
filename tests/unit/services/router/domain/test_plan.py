import random
from collections import Counter

from libs.rendezvous import rank
from services.router.domain.plan import PlaceReason, PlanRule, plan_bound, plan_new
from services.router.domain.worker import Description, Worker

RULE = PlanRule(load_factor=1.25, places_max=3)


def fleet(count, loads=()):
    workers = [Worker(f"h:{n}", Description(f"w{n}", "b", "m", (), "d")) for n in range(count)]
    for worker, load in zip(workers, loads, strict=False):
        worker.told = load
    return workers


def by_hash(key, workers):
    return rank(key, workers, lambda worker: worker.name)


def test_a_key_goes_to_its_rendezvous_worker_with_spares_in_its_order():
    workers = fleet(4)
    plan = plan_new("k", workers, {}, RULE, random.random)
    assert [place.worker for place in plan] == by_hash("k", workers)[:3]
    assert [place.reason for place in plan] == ["rendezvous", "spare", "spare"]


def test_a_full_worker_is_passed_over_and_becomes_the_first_spare():
    workers = fleet(3)
    ranking = by_hash("k", workers)
    ranking[0].told = 10
    plan = plan_new("k", workers, {}, RULE, random.random)
    assert [place.worker for place in plan] == [ranking[1], ranking[0], ranking[2]]
    assert plan[0].reason is PlaceReason.OVERFLOW


def test_bound_sessions_are_load_too():
    workers = fleet(2)
    ranking = by_hash("k", workers)
    plan = plan_new("k", workers, {ranking[0].name: 5}, RULE, random.random)
    assert plan[0].worker is ranking[1]


def test_without_a_key_the_least_loaded_is_first_and_ties_are_random():
    workers = fleet(3, loads=[1, 0, 0])
    seeded = random.Random(1)
    firsts = Counter(plan_new("", workers, {}, RULE, seeded.random)[0].worker.name for _ in range(100))
    assert set(firsts) == {"w1", "w2"}
    assert min(firsts.values()) > 25
    assert plan_new("", workers, {}, RULE, seeded.random)[0].reason is PlaceReason.LEAST_LOADED


def test_the_bound_worker_is_first_whatever_its_load():
    workers = fleet(4, loads=[100])
    ranking = by_hash("k", workers)
    plan = plan_bound(workers[0], ranking, RULE)
    assert plan[0][:2] == (workers[0], PlaceReason.BOUND)
    assert [place.worker for place in plan[1:]] == [worker for worker in ranking if worker is not workers[0]][:2]


def test_the_plan_is_not_longer_than_the_rule():
    assert len(plan_new("k", fleet(9), {}, RULE, random.random)) == 3
    assert len(plan_new("k", fleet(1), {}, RULE, random.random)) == 1
