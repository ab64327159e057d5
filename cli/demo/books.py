"""What a session cost, step by step, and what the platform's books say of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from cli.client.admin import BUDGETS, SPEND, AdminClient
from cli.client.answer import Answer
from cli.demo.checks import Checks
from libs.money import from_dollars, to_dollars

# A charge reaches the books within milliseconds of its answer; a busy machine may take longer.
BOOKED_SECONDS_MAX = 5.0
_POLL_SECONDS = 0.05


def cost_of(answers: Sequence[Answer]) -> int:
    """Nano-dollars of all of them."""
    return sum(from_dollars(answer.cost_usd) for answer in answers)


def say_costs(say: Callable[[str], None], answers: Sequence[Answer]) -> None:
    """A row per step, and the whole."""
    say("  step     prompt    cached    answer           cost")
    for number, answer in enumerate(answers, 1):
        say(_line(str(number), answer.prompt_tokens, answer.cached_tokens, answer.completion_tokens, answer.cost_usd))
    prompt, cached = sum(each.prompt_tokens for each in answers), sum(each.cached_tokens for each in answers)
    completion = sum(each.completion_tokens for each in answers)
    say(_line("all", prompt, cached, completion, to_dollars(cost_of(answers))))


def _line(step: str, prompt: int, cached: int, completion: int, cost_usd: str) -> str:
    return f"  {step:<5} {prompt:9d} {cached:9d} {completion:9d} {'$' + cost_usd:>14}"


async def check_books(checks: Checks, admin: AdminClient, name: str, answers: Sequence[Answer]) -> None:
    """The books charge the session what its steps said, to the nano-dollar."""
    session, cost = answers[0].session, to_dollars(cost_of(answers))
    booked = await _until(lambda: session_cost(admin, session), cost)
    checks.expect(cost != "0", f"{name}: the session cost something", "it was free")
    checks.expect(booked == cost, f"{name}: the books charge the session ${cost}, the sum of its steps", f"${booked}")


def session_cost(admin: AdminClient, session: str) -> str:
    """Dollars that the books have for a session; "0" where they do not know it."""
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date().isoformat()
    rows: list[dict[str, Any]] = admin.get(SPEND, by="session", first_day=yesterday)["data"]
    return next((str(row["cost_usd"]) for row in rows if row["value"] == session), "0")


async def settled(admin: AdminClient, key_id: str) -> int:
    """What a key has been charged when nothing of it is held any more, in nano-dollars."""

    def held() -> str:
        return str(_state(admin, key_id)["held_usd"])

    await _until(held, "0")
    return from_dollars((await asyncio.to_thread(_state, admin, key_id))["settled_usd"])


def _state(admin: AdminClient, key_id: str) -> dict[str, Any]:
    state: dict[str, Any] = admin.get(BUDGETS, key=key_id)["state"]
    return state


async def _until(look: Callable[[], str], wanted: str) -> str:
    """What `look` sees when it sees what is wanted, or at the end of the time for it."""
    end = time.monotonic() + BOOKED_SECONDS_MAX
    while True:
        seen = await asyncio.to_thread(look)
        if seen == wanted or time.monotonic() >= end:
            return seen
        await asyncio.sleep(_POLL_SECONDS)
