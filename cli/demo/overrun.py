"""A budget that does not last: an agent is refused at its end, and a stream is cut at it. No call gets past it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli.client.admin import KEYS, AdminClient
from cli.client.answer import Answer, Message, Question
from cli.client.rest import RestClient
from cli.demo.books import cost_of, settled
from cli.demo.checks import Checks
from cli.demo.script import LONG_QUESTION, STEPS, frame
from cli.demo.session import MODEL, STEP_TOKENS_MAX, step_line
from cli.errors import CliError
from libs.money import to_dollars

# In costs of a session's first step. The agent gets some way, but the cheapest steps that follow use all of it up.
AGENT_BUDGET = 2.25
# Covers what a short answer holds at first, and some hundred tokens more.
STREAM_BUDGET = 1.25
# How long answers get is learned from this one, so that the next one's hold is small and has to grow.
SHORT_TOKENS = 8
LONG_TOKENS_MAX = 1000


@dataclass
class Overrun:
    """What was seen; amounts are nano-dollars."""

    budget: int = 0
    spent: int = 0
    answers: list[Answer] = field(default_factory=list)
    code: str = ""
    message: str = ""

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {
            "budget_usd": to_dollars(self.budget),
            "spent_usd": to_dollars(self.spent),
            "answered": len(self.answers),
            "refused": {"code": self.code, "message": self.message},
        }


@dataclass(frozen=True)
class Purse:
    """A key with a budget, in nano-dollars."""

    key_id: str
    secret: str
    budget: int


async def make_purse(admin: AdminClient, name: str, budget: int) -> Purse:
    """Makes a key that may spend so much in all. Raises CliError."""
    body = {"name": name, "limits": {"budgets": [{"limit_usd": to_dollars(budget)}]}}
    made = await asyncio.to_thread(admin.send, "POST", KEYS, body)
    return Purse(made["key"]["id"], made["secret"], budget)


async def overrun(url: str, admin: AdminClient, first_step: int, say: Callable[[str], None]) -> Overrun:
    """Lets an agent work until its budget refuses it. `first_step` is what a session's first step cost."""
    purse = await make_purse(admin, "demo-agent", int(first_step * AGENT_BUDGET))
    seen = Overrun(purse.budget)
    say(f"An agent whose key may spend ${to_dollars(purse.budget)}:")
    session, history = f"demo-budget-{secrets.token_hex(4)}", [frame("Wren")]
    async with RestClient(url, purse.secret) as client:
        for number, step in enumerate(STEPS, 1):
            history.append({"role": "user", "content": step})
            question = Question(MODEL, list(history), session, STEP_TOKENS_MAX, temperature=0.0)
            try:
                answer = await client.chat(question, _ignore)
            except CliError as refusal:
                seen.code, seen.message = refusal.reason, refusal.message
                say(f"  {number} refused: {refusal.message}")
                left = to_dollars(purse.budget - cost_of(seen.answers))
                say(f"    A call runs only where the most that it may cost is covered; ${left} are left.")
                break
            history.append({"role": "assistant", "content": answer.text})
            seen.answers.append(answer)
            say(step_line(number, answer))
    seen.spent = await settled(admin, purse.key_id)
    return seen


def check_overrun(checks: Checks, seen: Overrun) -> None:
    """The call that the budget does not cover is refused before it runs, and costs nothing."""
    checks.expect(bool(seen.answers), "the budget paid for the agent's first steps", "it paid for none")
    refused = seen.code == "insufficient_quota" and "HTTP 429" in seen.message
    checks.expect(refused, "the overrun was refused: 429 insufficient_quota", seen.message or "no step was refused")
    spent, budget, steps = to_dollars(seen.spent), to_dollars(seen.budget), to_dollars(cost_of(seen.answers))
    checks.expect(seen.spent <= seen.budget, f"${spent} of ${budget} were spent: no overrun", "more than the budget")
    checks.expect(spent == steps, "nothing was charged for the refused call", f"the answered steps cost ${steps}")


async def cut_stream(url: str, admin: AdminClient, first_step: int) -> tuple[Answer, Overrun]:
    """Streams an answer that is longer than its budget. Raises CliError when it is refused or breaks off."""
    purse = await make_purse(admin, "demo-stream", int(first_step * STREAM_BUDGET))
    messages: list[Message] = [{"role": "user", "content": LONG_QUESTION}]
    ends_late: dict[str, object] = {"ignore_eos": True}
    async with RestClient(url, purse.secret) as client:
        short = await client.chat(Question(MODEL, messages, "", SHORT_TOKENS, 0.0, ends_late), _ignore)
        long = await client.chat(Question(MODEL, messages, "", LONG_TOKENS_MAX, 0.0, ends_late), _ignore)
    spent = await settled(admin, purse.key_id)
    return long, Overrun(purse.budget, spent, [short, long])


def check_cut_stream(checks: Checks, answer: Answer, seen: Overrun) -> None:
    """The stream ends cleanly where its budget ends."""
    cut = answer.finish == "length" and answer.truncated == "budget"
    checks.expect(
        cut and 0 < answer.completion_tokens < LONG_TOKENS_MAX,
        f'a stream ended where its budget did, after {answer.completion_tokens} tokens, with finish reason "length"',
        f"{answer.completion_tokens} tokens, finish {answer.finish!r}, cut by {answer.truncated!r}",
    )
    spent, budget = to_dollars(seen.spent), to_dollars(seen.budget)
    checks.expect(
        seen.spent == cost_of(seen.answers) <= seen.budget,
        f"it was charged what it delivered: ${spent} of ${budget}",
        f"charged ${spent} for ${to_dollars(cost_of(seen.answers))}",
    )


def _ignore(_: str) -> None:
    pass
