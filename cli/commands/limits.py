"""Limits as options: what may be given to a key, a user or a tenant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cli.errors import CliError
from services.gateway.domain.accounts.durations import DurationError, seconds_of
from services.gateway.domain.accounts.records import TOTAL

Budget = Annotated[str | None, typer.Option(help="Ceiling in dollars, such as 12.5.")]
Duration = Annotated[str, typer.Option(help="Of the budget: 30s, 30m, 30h, 30d, or total (for ever).")]
Soft = Annotated[str | None, typer.Option(help="Dollars from which on an event tells of the budget.")]
SessionBudget = Annotated[str | None, typer.Option(help="Ceiling of each session tree, in dollars.")]
RequestBudget = Annotated[str | None, typer.Option(help="Ceiling of each request, in dollars.")]
Rpm = Annotated[int | None, typer.Option(help="Requests per minute.")]
Tpm = Annotated[int | None, typer.Option(help="Tokens per minute.")]
Parallel = Annotated[int | None, typer.Option(help="Requests at the same time.")]
Models = Annotated[list[str] | None, typer.Option("--model", help="A model it may name; repeat it. (default: all)")]
Tags = Annotated[list[str] | None, typer.Option("--tag", help="name=value, flows into usage; repeat it.")]
TenantOption = Annotated[str, typer.Option(help="Who pays. (default: the tenant of the key in use)")]


def limits_body(
    *,
    budget: str | None = None,
    duration: str = TOTAL,
    soft: str | None = None,
    session_budget: str | None = None,
    request_budget: str | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    parallel: int | None = None,
    models: Sequence[str] | None = None,
) -> dict[str, Any]:
    """`limits` of the admin API with what was given. Raises CliError where a part needs another."""
    if budget is None and (soft is not None or duration != TOTAL):
        raise CliError("--soft and --duration belong to a budget", "give its ceiling with --budget", code=2)
    given: dict[str, Any] = {
        "requests_per_minute": rpm,
        "tokens_per_minute": tpm,
        "parallel_requests": parallel,
        "session_budget_usd": session_budget,
        "request_budget_usd": request_budget,
        "models": list(models) if models else None,
        "budgets": [budget_body(budget, duration, soft)] if budget is not None else None,
    }
    return {name: value for name, value in given.items() if value is not None}


def budget_body(limit: str, duration: str, soft: str | None) -> dict[str, Any]:
    """One budget of the admin API."""
    body: dict[str, Any] = {"limit_usd": limit, "duration": duration}
    return body if soft is None else body | {"soft_usd": soft}


def tags_of(given: Sequence[str] | None) -> dict[str, str]:
    """Tags by name. Raises CliError."""
    tags: dict[str, str] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not equals or not name:
            raise CliError(f"--tag {each!r} is no name=value", "write --tag feature=search", code=2)
        tags[name] = value
    return tags


def seconds(duration: str, option: str) -> int:
    """Seconds of a duration such as 30d. Raises CliError."""
    try:
        found = seconds_of(duration)
    except DurationError as problem:
        raise CliError(f"{option}: {problem}", "write it as 24h or 30d", code=2) from None
    if not found:
        raise CliError(f"{option} has no end", "leave it out", code=2)
    return found
