"""`headrace spend`: what was spent, by whom or for what."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any

import typer

from cli.client.admin import SPEND, USAGE
from cli.commands.limits import TenantOption
from cli.commands.options import AsJson, ConfigFile, StateDir
from cli.commands.target import Key, Url, administered
from cli.errors import CliError
from cli.output import print_json
from cli.view.accounts import usd
from cli.view.table import show_table
from libs.money import NANODOLLARS_PER_DOLLAR, to_dollars

DAYS_DEFAULT = 7
NOTHING = "nothing was spent"
_ELSEWHERE = "by the tenant of the key in use; --tenant names another, --by tenant shows all that this key may see"
_COUNTS = ("requests", "prompt_tokens", "cached_tokens", "completion_tokens")
_COSTS = ("cost_usd", "platform_usd")
_COLUMNS = ("requests", "prompt", "cached", "completion", "cost", "borne by the platform")


class By(StrEnum):
    """What sums are by; `day` is told by the platform as usage of the tenant."""

    TENANT = "tenant"
    USER = "user"
    END_USER = "end_user"
    KEY = "key"
    MODEL = "model"
    SESSION = "session"
    TAG = "tag"
    DAY = "day"


ByOption = Annotated[By, typer.Option(help="What is summed by.")]
Days = Annotated[int | None, typer.Option(min=1, max=400, help="So many days up to today, 1 = today.")]
First = Annotated[str, typer.Option("--from", help="First day, such as 2026-01-31 (UTC). (default: six days ago)")]
Last = Annotated[str, typer.Option("--to", help="Last day, included. (default: today)")]


def spend(
    by: ByOption = By.MODEL,
    days: Days = None,
    first: First = "",
    last: Last = "",
    tenant: TenantOption = "",
    url: Url = None,
    key: Key = None,
    config: ConfigFile = None,
    state_dir: StateDir = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, dearest first; without days the last seven (UTC)."""
    with administered(config, state_dir, url, key, as_json=as_json) as client:
        first_day, last_day = _range(days, first, last)
        path, dimension = (USAGE, By.TENANT) if by is By.DAY else (SPEND, by)
        found = client.get(path, by=dimension.value, tenant=tenant, first_day=first_day, last_day=last_day)
        if by is By.DAY:
            found |= {"by": by.value, "data": by_day(found["data"])}
        if as_json:
            print_json(found)
        else:
            _show(found, NOTHING if tenant or by is By.TENANT else f"{NOTHING} {_ELSEWHERE}")


def _range(days: int | None, first: str, last: str) -> tuple[str, str]:
    """First and last day. Raises CliError."""
    if days is not None and (first or last):
        raise CliError("--days and --from/--to name two ranges", "give one of them", code=2)
    today = datetime.now(UTC).date()
    end = _day(last, "--to") if last else today
    begin = _day(first, "--from") if first else end - timedelta(days=(days or DAYS_DEFAULT) - 1)
    return begin.isoformat(), end.isoformat()


def _day(text: str, option: str) -> Any:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise CliError(f"{option} {text!r} is no day", "write it as 2026-01-31", code=2) from None


def by_day(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of days and values as one row per day, in order."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["day"]].append(row)
    return [summed(group) | {"day": day, "value": day} for day, group in sorted(groups.items())]


def summed(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The sums of rows, amounts as exact decimals."""
    counts: dict[str, Any] = {name: sum(row[name] for row in rows) for name in _COUNTS}
    return counts | {name: _sum_usd(row[name] for row in rows) for name in _COSTS}


def _sum_usd(amounts: Iterable[str]) -> str:
    """Corrections are negative, so this is not `from_dollars`."""
    return to_dollars(int(sum(map(Decimal, amounts)) * NANODOLLARS_PER_DOLLAR))


def _show(found: dict[str, Any], nothing: str) -> None:
    rows = found["data"]
    typer.echo(f"{found['first_day']} to {found['last_day']} (UTC), by {found['by']}")
    if not rows:
        typer.echo(nothing)
        return
    cells = [_cells(row, row["value"]) for row in rows]
    # A request has several tags: their sums overlap and add up to nothing.
    total = () if found["by"] == By.TAG else _cells(summed(rows), "all")
    show_table((found["by"], *_COLUMNS), cells, right=_COLUMNS, total=total)


def _cells(row: dict[str, Any], value: str) -> list[str]:
    return [value, *(f"{row[name]:,}" for name in _COUNTS), *(usd(row[name]) for name in _COSTS)]
