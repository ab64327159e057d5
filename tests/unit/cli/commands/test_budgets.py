"""`headrace budgets`."""

import pytest


def rows(done):
    return [line.split() for line in done.stdout.splitlines()]


@pytest.mark.parametrize("owner", ["tenant", "tenant:other", "user:ada", "key:{acme.service}"])
def test_a_budget_is_set_shown_and_cleared(shell, owner):
    owner = owner.replace("{acme.service}", shell.world.ids["acme.service"])
    made = shell.json("budgets", "set", owner, "12.5", "--duration", "30d", "--soft", "10")
    assert [(each["limit_usd"], each["soft_usd"]) for each in made["budgets"]] == [("12.5", "10")]
    assert rows(shell("budgets", "show", owner))[2][:6] == ["30d", "$12.5", "$10", "$0", "$0", "$12.5"]
    assert shell.json("budgets", "clear", owner, "--duration", "30d")["budgets"] == []
    assert "no budget is set here" in shell("budgets", "show", owner).stdout


def test_of_another_tenants_user(shell):
    found = shell.json("budgets", "set", "user:ada", "1", "--tenant", "other")
    assert (found["tenant"], found["user"]) == ("other", "ada")


def test_what_is_spent_and_left_is_shown(shell):
    shell("budgets", "set", "tenant", "2")
    shell.world.spend.settled["acme", "t"] = 2_500_000_000
    said = shell("budgets", "show")
    assert "tenant acme: $2.5 spent" in said.stdout
    assert rows(said)[2] == ["total", "$2", "$2.5", "$0", "-$0.5", "never"]


@pytest.mark.parametrize("owner", ["key", "user:", "ada", "team:x", "tenant:"])
def test_an_owner_that_is_none_is_refused_before_a_call(shell, owner):
    assert "fix:" in shell("budgets", "set", owner, "1", code=2).stderr
    assert not shell.transport.requests


def test_two_tenants_are_one_too_many(shell):
    shell("budgets", "set", "tenant:acme", "1", "--tenant", "other", code=2)


def test_a_key_that_may_not_is_told_so(shell):
    done = shell("budgets", "set", "user:bob", "1", key="acme.boss")
    assert "user bob" in done.stdout
    refused = shell("budgets", "set", "tenant", "1", key="acme.boss", code=1)
    assert "HTTP 403" in refused.stderr
    assert "use a key that may" in refused.stderr
