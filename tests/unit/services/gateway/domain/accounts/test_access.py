"""Who may do what: the table, and what it means for somebody who asks."""

from __future__ import annotations

import itertools

import pytest

from services.gateway.domain.accounts.access import (
    RANK,
    TABLE,
    Action,
    Relation,
    Target,
    Verdict,
    allowed,
    judge,
    may_grant,
    relation,
)
from services.gateway.domain.accounts.records import PLATFORM, Role
from services.gateway.domain.turns import Principal

BOSS = Principal("acme", "key_boss", "boss", Role.TENANT_ADMIN)
ADA = Principal("acme", "key_ada", "ada", Role.MEMBER)
BOT = Principal("acme", "key_bot", "", Role.SERVICE)
ROOT = Principal("acme", "key_root", "", Role.ADMIN)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (Target("acme", "ada", "key_ada"), Relation.OWN_KEY),
        (Target("acme", "ada", "key_other"), Relation.OWN_USER),
        (Target("acme", "ada"), Relation.OWN_USER),
        (Target("acme", "bob", "key_bob"), Relation.OWN_TENANT),
        (Target("acme"), Relation.OWN_TENANT),
        (Target("other", "ada", "key_ada"), Relation.FOREIGN),
        (Target("other"), Relation.FOREIGN),
        (Target(PLATFORM), Relation.PLATFORM),
    ],
)
def test_how_a_target_stands_to_the_caller(target, wanted):
    assert relation(ADA, target) is wanted


def test_nobodys_key_is_not_the_key_of_somebody_without_a_user():
    assert relation(BOT, Target("acme", "", "key_other")) is Relation.OWN_TENANT


def test_only_admins_reach_other_tenants_and_the_platform():
    for role, action in itertools.product(Role, Action):
        assert allowed(role, action, Relation.FOREIGN) is (role is Role.ADMIN)
        if action is not Action.PRICE_READ:
            assert allowed(role, action, Relation.PLATFORM) is (role is Role.ADMIN)


def test_whoever_may_do_something_afar_may_do_it_near():
    order = [Relation.OWN_KEY, Relation.OWN_USER, Relation.OWN_TENANT]
    for role, action in itertools.product(Role, Action):
        held = [allowed(role, action, standing) for standing in order]
        assert held == sorted(held, reverse=True), (role, action)


def test_a_higher_role_may_all_that_a_lower_one_may():
    for lower, higher in itertools.combinations(sorted(Role, key=RANK.__getitem__), 2):
        for action, standings in TABLE[lower].items():
            assert standings <= TABLE[higher].get(action, frozenset()), (lower, higher, action)


@pytest.mark.parametrize("action", list(Action))
def test_what_is_foreign_does_not_exist(action):
    for actor in (BOSS, ADA, BOT):
        for target in (Target("other"), Target("other", "ada"), Target("other", "ada", "key_x")):
            assert judge(actor, action, target) is Verdict.HIDDEN


@pytest.mark.parametrize(
    ("actor", "action", "target", "wanted"),
    [
        (BOSS, Action.TENANT_UPDATE, Target("acme"), Verdict.DENIED),
        (BOSS, Action.TENANT_BLOCK, Target("acme"), Verdict.DENIED),
        (BOSS, Action.TENANT_UNBLOCK, Target("acme"), Verdict.DENIED),
        (BOSS, Action.BUDGET_SET, Target("acme"), Verdict.DENIED),
        (BOSS, Action.BUDGET_SET, Target("acme", "ada"), Verdict.ALLOWED),
        (BOSS, Action.BUDGET_READ, Target("acme"), Verdict.ALLOWED),
        (BOSS, Action.TENANT_CREATE, Target(PLATFORM), Verdict.DENIED),
        (BOSS, Action.PRICE_SET, Target(PLATFORM), Verdict.DENIED),
        (BOSS, Action.PRICE_READ, Target(PLATFORM), Verdict.ALLOWED),
        (ADA, Action.KEY_CREATE, Target("acme", "ada"), Verdict.ALLOWED),
        (ADA, Action.KEY_CREATE, Target("acme", "bob"), Verdict.HIDDEN),
        (ADA, Action.KEY_CREATE, Target("acme"), Verdict.DENIED),
        (ADA, Action.KEY_UNBLOCK, Target("acme", "ada", "key_2"), Verdict.DENIED),
        (ADA, Action.KEY_READ, Target("acme", "bob", "key_b"), Verdict.HIDDEN),
        (ADA, Action.USER_UPDATE, Target("acme", "ada"), Verdict.DENIED),
        (ADA, Action.USER_READ, Target("acme", "bob"), Verdict.HIDDEN),
        (ADA, Action.TENANT_READ, Target("acme"), Verdict.DENIED),
        (BOT, Action.KEY_READ, Target("acme", "", "key_bot"), Verdict.ALLOWED),
        (BOT, Action.KEY_DELETE, Target("acme", "", "key_bot"), Verdict.DENIED),
        (BOT, Action.KEY_READ, Target("acme", "", "key_x"), Verdict.HIDDEN),
        (ROOT, Action.TENANT_DELETE, Target("other"), Verdict.ALLOWED),
    ],
)
def test_what_callers_are_told(actor, action, target, wanted):
    assert judge(actor, action, target) is wanted


@pytest.mark.parametrize("action", [Action.KEY_ROTATE, Action.KEY_BLOCK, Action.KEY_UPDATE, Action.KEY_DELETE])
def test_nobody_acts_on_a_higher_role(action):
    target = Target("acme", "", "key_root", Role.ADMIN)
    assert judge(BOSS, action, target) is Verdict.DENIED
    assert judge(BOSS, Action.KEY_READ, target) is Verdict.ALLOWED
    assert judge(ROOT, action, target) is Verdict.ALLOWED


def test_no_key_is_made_for_a_user_of_a_higher_role():
    assert judge(BOSS, Action.KEY_CREATE, Target("acme", "root", role=Role.ADMIN)) is Verdict.DENIED


def test_roles_are_given_up_to_ones_own():
    granted = {actor.role: {role for role in Role if may_grant(actor, role)} for actor in (ROOT, BOSS, ADA, BOT)}
    assert granted == {
        Role.ADMIN: set(Role),
        Role.TENANT_ADMIN: {Role.TENANT_ADMIN, Role.MEMBER, Role.SERVICE},
        Role.MEMBER: {Role.MEMBER, Role.SERVICE},
        Role.SERVICE: {Role.SERVICE},
    }
