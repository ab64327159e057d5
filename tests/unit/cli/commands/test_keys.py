"""`headrace keys` as people and programs use it."""

import stat
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from services.gateway.domain.accounts.records import Key


def lines(done):
    return [line.split() for line in done.stdout.splitlines()]


def test_a_fresh_key_stands_alone_on_stdout_and_works(shell):
    done = shell("keys", "create", "--name", "ci", "--tenant", "other")
    secret = done.stdout.strip()
    assert secret.startswith("sk-hr-")
    assert secret not in done.stderr
    shell.world.keys["fresh"] = secret
    assert [key["name"] for key in shell.json("keys", "list", key="fresh")["keys"]] == ["ci"]


def test_everything_that_can_be_said_of_a_key_arrives(shell):
    words = "--user ada --name n --role member --budget 1.5 --duration 30d --soft 1 --session-budget 0.5"
    more = "--request-budget 0.25 --rpm 60 --tpm 1000 --parallel 4 --model small --model large --tag feature=search"
    made = shell.json("keys", "create", "--expires", "24h", "--cached-answers", *words.split(), *more.split())
    limits = made["limits"]
    assert made["key"].startswith("sk-hr-")
    assert (made["user"], made["name"], made["role"], made["metadata"]) == ("ada", "n", "member", {"feature": "search"})
    assert (limits["requests_per_minute"], limits["tokens_per_minute"], limits["parallel_requests"]) == (60, 1000, 4)
    assert (limits["session_budget_usd"], limits["request_budget_usd"]) == ("0.5", "0.25")
    assert [(each["limit_usd"], each["duration"], each["soft_usd"]) for each in limits["budgets"]] == [
        ("1.5", "30d", "1")
    ]
    assert limits["models"] == ["small", "large"]
    assert made["expires_at"] is not None
    assert made["cached_answers"] is True


def test_a_list_shows_every_key_of_the_tenant_and_no_secret(shell):
    done = shell("keys", "list")
    shown = {row[0] for row in lines(done)}
    assert {shell.world.ids[name] for name in ("admin", "acme.ada", "acme.service")} <= shown
    assert not {shell.world.ids["other.ada"]} & shown
    assert not any(secret in done.output for secret in shell.world.keys.values())
    assert all(len(line) < 200 for line in done.stdout.splitlines())


def test_a_list_is_read_to_its_end(shell, monkeypatch):
    monkeypatch.setattr("cli.client.admin.PAGE", 2)
    assert len(shell.json("keys", "list")["keys"]) == 6
    assert len(shell.transport.requests) == 3


def test_info_shows_limits_and_where_budgets_stand(shell):
    made = shell.json("keys", "create", "--budget", "2", "--rpm", "9")
    shell.world.spend.settled["acme", f"k:{made['id']}"] = 500_000_000
    said = shell("keys", "info", made["id"]).stdout
    assert "9 requests/min" in said
    assert ["total", "$2", "$0.5", "$0", "$1.5", "never"] in lines(shell("keys", "info", made["id"]))
    assert shell.json("keys", "info", made["id"])["spend"]["settled_usd"] == "0.5"


def test_a_rotated_key_gets_another_text_under_its_id(shell):
    made = shell.json("keys", "create")
    again = shell.json("keys", "rotate", made["id"], "--grace", "30m")
    assert again["id"] == made["id"]
    assert again["key"] != made["key"]
    assert again["previous_until"] == shell.world.clock.unix() + 1800


@pytest.mark.parametrize("named", [True, False])
def test_a_rotated_admin_key_stays_the_one_that_commands_use(shell, named):
    file = Path(shell.state_dir) / "admin.key"
    file.write_text(shell.world.keys["admin"] + "\n")
    words = ["keys", "rotate", shell.world.ids["admin"], "--state-dir", shell.state_dir, "--url", "http://gateway"]
    more = ["--key", shell.world.keys["admin"]] if named else []
    done = CliRunner().invoke(app, [*words, *more])
    assert done.exit_code == 0, done.output
    assert file.read_text() == done.stdout
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_another_key_that_is_rotated_leaves_the_admins_file_alone(shell):
    file = Path(shell.state_dir) / "admin.key"
    file.write_text("sk-hr-kept\n")
    for name in ("admin", "acme.bob"):
        shell("keys", "rotate", shell.world.ids[name], key="acme.boss" if name == "acme.bob" else "admin")
    assert file.read_text() == "sk-hr-kept\n"


def test_block_unblock_and_revoke(shell):
    key = shell.world.ids["acme.bob"]
    assert shell("keys", "block", key).stdout == f"blocked {key}\n"
    assert shell.json("keys", "info", key)["blocked"]
    assert not shell.json("keys", "unblock", key)["blocked"]
    assert shell.json("keys", "revoke", key) == {"revoked": key}
    assert not [
        record for place, record in shell.world.store.records.items() if place[2] == key and type(record) is Key
    ]


@pytest.mark.parametrize("verb", ["block", "revoke"])
def test_the_key_in_use_is_not_taken_away_by_mistake(shell, verb):
    own = shell.world.ids["admin"]
    assert "--force" in shell("keys", verb, own, code=1).stderr
    assert shell.json("keys", "info", own)["blocked"] is False
    shell("keys", verb, own, "--force")


def test_an_unknown_key_is_said_with_a_way_on(shell):
    error = shell.json("keys", "info", "key_none", code=1)["error"]
    assert "no key 'key_none'" in error["message"]
    assert "headrace keys list" in error["fix"]
    assert "--tenant" in error["fix"]
    assert error["code"] == "not_found"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--budget", "abc"], "is no amount"),
        (["--budget", "-1"], "is no amount"),
        (["--rpm", "-4"], "whole number"),
        (["--tenant", "nobody"], "no tenant"),
    ],
)
def test_what_the_platform_refuses_is_said_in_its_words(shell, words, said):
    done = shell("keys", "create", *words, code=1)
    assert said in done.stderr
    assert "Value error" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    "words", [["--soft", "1"], ["--duration", "30d"], ["--tag", "x"], ["--expires", "soon"], ["--expires", "total"]]
)
def test_what_cannot_be_meant_is_refused_before_a_call(shell, words):
    assert "fix:" in shell("keys", "create", *words, code=2).stderr
    assert not shell.transport.requests


@pytest.mark.parametrize("name", ["..", ".", ""])
def test_an_id_leads_to_no_other_route(shell, name):
    shell("keys", "revoke", name, "--force", code=2)
    assert not shell.transport.requests


def test_a_slash_in_an_id_stays_in_it(shell):
    shell("keys", "revoke", "../tenants/acme", "--force", code=1)
    assert b"..%2Ftenants%2Facme" in shell.transport.requests[0].url.raw_path


def test_a_wrong_key_gets_a_fix(shell):
    shell.world.keys["wrong"] = "sk-hr-wrong"
    done = shell("keys", "list", key="wrong", code=1)
    assert "HTTP 401" in done.stderr
    assert "--key" in done.stderr
    assert "sk-hr-wrong" not in done.output


def test_no_key_leaves_for_a_port_that_nobody_named(shell):
    done = CliRunner().invoke(app, ["keys", "create", "--state-dir", shell.state_dir])
    assert done.exit_code == 1
    assert "no platform runs" in done.stderr
    assert "headrace up" in done.stderr
    assert not shell.transport.requests
