"""Callers that spend one budget through several gateways until it refuses them, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from libs.money import from_dollars
from loadtests.common.client import Answer, stream, whole

# "lost": the connection broke. "held": running calls hold what is left. "spent": the budget does not cover a call.
# "limited": another limit than the budget.
Outcome = Literal["completed", "lost", "failed", "held", "spent", "limited", "unavailable"]
REMAINING = "x-headrace-budget-remaining-usd"
PAUSE_SECONDS = 0.25
CALL_SECONDS_MAX = 30.0
Bodies = Callable[[random.Random], dict[str, Any]]


@dataclass(frozen=True)
class Try:
    """One call and what came of it. `received` output tokens came to the client; `cost` is what it was told.

    `remaining` is what its refusal says is left of the budget, in nano-dollars; -1 = nothing was said.
    """

    outcome: Outcome
    gateway: int
    streamed: bool
    request_id: str = ""
    received: int = 0
    cost: int = 0
    remaining: int = -1
    truncated: str = ""
    said: str = ""


@dataclass
class Spenders:
    """`count` callers of one key; half of them stream. They go to the next gateway when theirs does not serve."""

    ports: list[int]
    secret: str
    bodies: Bodies
    rng: random.Random
    count: int = 100
    tries: list[Try] = field(default_factory=list)

    async def spend(self, seconds: float) -> bool:
        """Until the budget has refused every caller; False when that took longer than `seconds`."""
        until = time.monotonic() + seconds
        return all(await asyncio.gather(*(self._one(number, until) for number in range(self.count))))

    async def _one(self, number: int, until: float) -> bool:
        gateway, streamed = number % len(self.ports), bool(number // len(self.ports) % 2)
        rng = random.Random(self.rng.random())
        while time.monotonic() < until:
            found = await self._call(gateway, self.bodies(rng), streamed=streamed)
            self.tries.append(found)
            if found.outcome == "spent":
                return True
            if found.outcome in ("lost", "unavailable"):
                gateway = (gateway + 1) % len(self.ports)
            if found.outcome != "completed":
                await asyncio.sleep(PAUSE_SECONDS * rng.uniform(0.6, 1.4))
        return False

    async def _call(self, gateway: int, body: dict[str, Any], *, streamed: bool) -> Try:
        answer, headers = Answer(), {"authorization": f"Bearer {self.secret}"}
        ask = stream if streamed else whole
        try:
            async with asyncio.timeout(CALL_SECONDS_MAX):
                await ask(self.ports[gateway], body, headers, into=answer)
        except OSError as problem:  # a timeout is one
            return judged(answer, gateway, streamed=streamed, lost=f"{type(problem).__name__} {problem}")
        return judged(answer, gateway, streamed=streamed)


def judged(answer: Answer, gateway: int, *, streamed: bool, lost: str = "") -> Try:
    """What came of a call. Workers stamp every token with an "@", so that those that came can be counted."""
    outcome, error = _outcome(answer, lost), answer.error if not lost else None
    report = answer.usage.get("headrace", {}) if outcome == "completed" else {}
    remaining = answer.headers.get(REMAINING, "") if outcome in ("held", "spent") else ""
    return Try(
        outcome=outcome,
        gateway=gateway,
        streamed=streamed,
        request_id=answer.headers.get("x-request-id", ""),
        received=answer.text().count("@") if streamed else answer.usage.get("completion_tokens", 0),
        cost=from_dollars(report["cost_usd"]) if report else 0,
        remaining=from_dollars(remaining) if remaining else -1,
        truncated=report.get("truncated") or "",
        said=lost or (f"{error['code']}: {error['message']}" if error else ""),
    )


_BY_STATUS: dict[int, Outcome] = {429: "limited", 503: "unavailable"}


def _outcome(answer: Answer, lost: str) -> Outcome:
    if lost:
        return "lost"
    if answer.status == 200:
        whole_answer = answer.error is None and answer.usage and (answer.done or answer.body)
        return "completed" if whole_answer else "failed"
    code = (answer.error or {}).get("code")
    if code == "insufficient_quota":
        return "spent"
    if code == "budget_exceeded":
        return "held"
    return _BY_STATUS.get(answer.status, "failed")
