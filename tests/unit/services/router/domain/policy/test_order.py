"""Where a call may go, in order."""

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.policy.order import Fallback, order
from services.router.domain.policy.wish import ChoiceReason
from services.router.domain.tiers import RANK, Tier
from tests.unit.services.router.domain.policy.world import TIERS

TIER = st.sampled_from(list(Tier))


def planned(tier, fallback, *, floor=None, allowed=()):
    found = order(Tier(tier), ChoiceReason.CLASSIFIED, TIERS, Fallback(fallback), floor=floor, allowed=allowed)
    return [(each.pool, each.reason.value) for each in found]


def test_the_tiers_own_pools_first_then_up_then_down():
    assert planned("large", "up") == [
        ("l1", "classified"),
        ("f1", "fallback-up"),
        ("s1", "fallback-down"),
        ("s2", "fallback-down"),
    ]
    assert planned("small", "up") == [
        ("s1", "classified"),
        ("s2", "fallback-same-tier"),
        ("l1", "fallback-up"),
        ("f1", "fallback-up"),
    ]


def test_down_first_where_policy_says_so_and_nowhere_where_it_says_none():
    assert [pool for pool, _ in planned("frontier", "down")] == ["f1", "l1", "s1", "s2"]
    assert [pool for pool, _ in planned("large", "down")] == ["l1", "s1", "s2", "f1"]
    assert [pool for pool, _ in planned("large", "none")] == ["l1"]


def test_what_is_not_allowed_is_left_out_and_the_rest_keeps_its_reasons():
    assert planned("small", "up", allowed={"s2", "f1"}) == [("s2", "fallback-same-tier"), ("f1", "fallback-up")]
    assert planned("large", "none", allowed={"s1"}) == []


@given(
    tier=TIER,
    floor=st.none() | TIER,
    fallback=st.sampled_from(list(Fallback)),
    allowed=st.sets(st.sampled_from(["s1", "s2", "l1", "f1"])),
)
def test_never_below_the_floor_never_outside_what_is_allowed_never_twice(tier, floor, fallback, allowed):
    found = order(tier, ChoiceReason.STICKY, TIERS, fallback, floor=floor, allowed=allowed)
    assert all(floor is None or RANK[each.tier] >= RANK[floor] for each in found)
    assert all(not allowed or each.pool in allowed for each in found)
    assert len({each.pool for each in found}) == len(found)
    if fallback is not Fallback.NONE and not allowed and floor is None:
        assert len(found) == 4
