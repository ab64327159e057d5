"""`headrace spend`."""

from datetime import UTC, datetime, timedelta

import pytest

from services.gateway.domain.accounts.spend import Dimension, SpendRow

TODAY = datetime.now(UTC).date()


def row(value, cost, day=TODAY, platform=0):
    return SpendRow(
        day=day.isoformat(),
        value=value,
        requests=2,
        prompt_tokens=1000,
        cached_tokens=100,
        completion_tokens=10,
        cost_nanodollars=cost,
        platform_nanodollars=platform,
    )


@pytest.fixture
def spent(shell):
    yesterday, long_ago = TODAY - timedelta(days=1), TODAY - timedelta(days=30)
    shell.world.spend.rows["acme", Dimension.MODEL] = [row("small", 5), row("large", 7), row("small", 4, long_ago)]
    shell.world.spend.rows["acme", Dimension.TAG] = [row("feature=search", 5), row("team=a", 5)]
    shell.world.spend.rows["acme", Dimension.TENANT] = [
        row("acme", 1_000_000_000, yesterday),
        row("acme", 500_000_000, platform=-3),
        row("acme", 500_000_000, platform=1),
    ]
    return shell


def test_sums_are_shown_dearest_first_with_the_whole(spent):
    rows = [line.split() for line in spent("spend").stdout.splitlines()]
    shown = [cells for cells in rows if cells and cells[0] in {"small", "large", "all"}]
    assert [cells[0] for cells in shown] == ["large", "small", "all"]
    assert shown[2] == ["all", "4", "2,000", "200", "20", "$0.000000012", "$0"]


def test_tags_overlap_and_have_no_sum(spent):
    said = spent("spend", "--by", "tag").stdout
    assert "feature=search" in said
    assert "all" not in said.split()


def test_by_day_is_a_row_per_day(spent):
    found = spent.json("spend", "--by", "day", "--tenant", "acme")
    assert [(each["day"], each["cost_usd"]) for each in found["data"]] == [
        ((TODAY - timedelta(days=1)).isoformat(), "1"),
        (TODAY.isoformat(), "1"),
    ]
    assert found["data"][1]["platform_usd"] == "-0.000000002"
    assert found["by"] == "day"


def test_without_days_the_last_seven(spent):
    found = spent.json("spend")
    assert found["first_day"] == (TODAY - timedelta(days=6)).isoformat()
    assert found["last_day"] == TODAY.isoformat()
    assert spent.json("spend", "--days", "1")["first_day"] == TODAY.isoformat()


def test_a_range_is_both_days_included(spent):
    long_ago = (TODAY - timedelta(days=30)).isoformat()
    found = spent.json("spend", "--from", long_ago, "--to", long_ago)
    assert [(each["value"], each["cost_usd"]) for each in found["data"]] == [("small", "0.000000004")]


def test_nothing_spent_is_said(shell):
    assert "nothing was spent by the tenant of the key in use; --tenant" in shell("spend").stdout
    assert shell("spend", "--tenant", "other").stdout.endswith("nothing was spent\n")


@pytest.mark.parametrize(
    "words", [["--from", "yesterday"], ["--to", "2026-02-30"], ["--days", "3", "--to", "2026-01-01"]]
)
def test_a_range_that_is_none_is_refused_before_a_call(shell, words):
    assert "fix:" in shell("spend", *words, code=2).stderr
    assert not shell.transport.requests


def test_what_a_client_named_cannot_steer_the_terminal(shell):
    shell.world.spend.rows["acme", Dimension.END_USER] = [row("\x1b[2Jeve\x07", 1)]
    said = shell("spend", "--by", "end_user").stdout
    assert "?[2Jeve?" in said
    assert "\x1b" not in said
