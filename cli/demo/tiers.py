"""Two questions to `auto`: an easy one and a hard one, the tiers that they got, and why."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cli.client.admin import REQUESTS, AdminClient, one
from cli.client.answer import Answer, Question
from cli.client.rest import RestClient
from cli.demo.checks import Checks
from cli.errors import CliError

AUTO = "auto"
EASY = "What is the capital of France?"
HARD = (
    "A warehouse ships 340 boxes a day on weekdays and 120 on Saturdays. Each pallet holds 40 boxes, a truck takes 12 "
    "pallets, and every third truck returns empty at a cost of 180 euros. From June on, weekday volume grows by 4 % a "
    "month while the truck price falls by 2 %. Derive the cost per box for each month until December, prove that the "
    "order in which the two changes are applied does not matter, and say in which month a second warehouse, which "
    "costs 9,000 euros a month and halves the empty returns, would begin to pay."
)
ANSWER_TOKENS_MAX = 24
# A record is written a moment after its answer.
RECORD_SECONDS_MAX = 10.0
_POLL_SECONDS = 0.1


@dataclass
class Routed:
    """One question: its answer, and the route as its request record has it."""

    name: str
    answer: Answer = field(default_factory=Answer)
    route: dict[str, Any] = field(default_factory=dict)

    @property
    def tier(self) -> str:
        """Of the model that answered."""
        return next((choice["tier"] for choice in self.route.get("choices", ()) if choice["used"]), "")

    @property
    def reason(self) -> str:
        """In words, with what weighed most."""
        decision = self.route.get("decision") or {}
        pulls = [f"{each['name']} {each['weight']:+.2f}" for each in decision.get("features", ())[:3]]
        return f"{decision.get('why', 'no reason was given')}" + (f" ({', '.join(pulls)})" if pulls else "")

    def document(self) -> dict[str, Any]:
        """For programs."""
        return {"tier": self.tier, "reason": self.reason, "route": self.answer.route}


async def ask_auto(client: RestClient, admin: AdminClient, say: Callable[[str], None]) -> list[Routed]:
    """Asks both and says where they went. Raises CliError."""
    found = []
    for name, text in (("easy", EASY), ("hard", HARD)):
        messages = [{"role": "user", "content": text}]
        answer = await client.chat(Question(AUTO, messages, max_tokens=ANSWER_TOKENS_MAX, temperature=0.0), _ignore)
        routed = Routed(name, answer, await _route(admin, answer.request_id))
        say(f"  {name}: {text[:64]}{'…' if len(text) > 64 else ''}")
        say(f"    → {routed.tier or '?'}: {routed.reason}")
        say(f"      x-headrace-route: {answer.route}")
        found.append(routed)
    return found


def check_tiers(checks: Checks, found: list[Routed]) -> None:
    """An easy question is no work for the large tier, a hard one none for the small."""
    tiers = {routed.name: routed.tier for routed in found}
    checks.expect(tiers.get("easy") == "small", "the easy question went to the small tier", f"{tiers}")
    checks.expect(tiers.get("hard") == "large", "the hard question went to the large tier", f"{tiers}")
    checks.expect(all(routed.answer.route for routed in found), "each reply names its route", "one does not")


async def _route(admin: AdminClient, request_id: str) -> dict[str, Any]:
    until = time.monotonic() + RECORD_SECONDS_MAX
    while True:
        try:
            record = await asyncio.to_thread(admin.get, one(REQUESTS, request_id))
        except CliError:  # not written yet, most likely
            if time.monotonic() > until:
                raise
            await asyncio.sleep(_POLL_SECONDS)
        else:
            route: dict[str, Any] = record.get("route") or {}
            return route


def _ignore(_: str) -> None:
    pass
