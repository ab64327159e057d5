"""`headrace tenants`, `headrace users` and `headrace prices`."""

from cli.client.refusal import refused


def test_a_tenant_with_a_user_and_its_key(shell):
    shell("tenants", "create", "fresh", "--budget", "3", "--rpm", "5")
    shell("users", "create", "eve", "--tenant", "fresh", "--role", "tenant_admin")
    made = shell.json("keys", "create", "--tenant", "fresh", "--user", "eve", "--role", "tenant_admin")
    assert (made["tenant"], made["user"]) == ("fresh", "eve")
    assert "5 requests/min, $3 in total" in shell("tenants", "list").stdout
    assert [user["role"] for user in shell.json("users", "list", "--tenant", "fresh")["users"]] == ["tenant_admin"]


def test_a_tenant_is_blocked_unblocked_and_deleted(shell):
    assert shell.json("tenants", "block", "other")["blocked"]
    assert not shell.json("tenants", "unblock", "other")["blocked"]
    shell("tenants", "delete", "other")
    assert [tenant["id"] for tenant in shell.json("tenants", "list")["tenants"]] == ["acme"]


def test_a_user_is_deleted_in_its_tenant_only(shell):
    shell("users", "delete", "ada", "--tenant", "other")
    assert "ada" in [user["id"] for user in shell.json("users", "list")["users"]]
    assert "ada" not in [user["id"] for user in shell.json("users", "list", "--tenant", "other")["users"]]


def test_a_price_is_set_shown_and_cleared(shell):
    shell("prices", "set", "org/model", "--input", "0.5", "--output", "2")
    assert [line.split() for line in shell("prices", "list").stdout.splitlines()][1] == [
        "org/model",
        "$0.5",
        "$0.5",
        "$2",
    ]
    shell("prices", "set", "org/model", "--input", "0.5", "--cached", "0.05", "--output", "2")
    assert shell.json("prices", "list")["prices"][0]["cached_usd"] == "0.05"
    shell("prices", "clear", "org/model")
    assert "no price is stored" in shell("prices", "list").stdout


def test_an_answer_that_is_no_gateways_is_said():
    problem = refused(502, b"<html>Bad Gateway</html>")
    assert "Bad Gateway" in problem.message
    assert "--url" in problem.fix
    assert "no reason" in refused(500, b"").message
