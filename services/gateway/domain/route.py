"""How a call's model and worker were found: the router's decision and what became of it, no word of the prompt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from services.gateway.domain.plan import Candidate


@dataclass(slots=True)
class Choice:
    """One model that may answer; `reason`, `tier`, `variant` and `pool` are the router's words (ModelChoice)."""

    model: str
    reason: str
    tier: str = ""
    variant: str = ""
    # What it stands for: permission and price go by this name.
    pool: str = ""


@dataclass(slots=True)
class Decision:
    """Why a turn got its tier (router's Decision). `small_probability` None = nothing spoke, or nothing was judged.

    `features`: name and pull of what weighed most; > 0 speaks for the large tier. `switch_cost` in nano-dollars.
    """

    tier: str
    small_probability: float | None = None
    unsure: bool = False
    why: str = ""
    features: tuple[tuple[str, float], ...] = ()
    previous_tier: str = ""
    switch_cost: int = 0


@dataclass(slots=True)
class Skipped:
    """A worker that was not tried, and why: "breaker-open", "half-open" (another call probes it)."""

    worker: str
    why: str


@dataclass(slots=True)
class PassedOver:
    """A model that was not used, and why: "not-allowed", "not-served", or the reason of the error it ended with.

    `tried`: its workers were asked; else it was found unfit before.
    """

    model: str
    why: str
    tried: bool = False


@dataclass(slots=True)
class Route:
    """Of one call. `choices` are models in the order of the plan, `used` the index of the one that answered.

    `candidates` are the workers of the last plan; `predicted` is what the worker tried first was expected to have
    cached, in tokens, None = nobody could tell. `replayed_from`: the request whose stored answer was given instead.
    """

    asked: str
    choices: tuple[Choice, ...] = ()
    decision: Decision | None = None
    used: int = 0
    candidates: tuple[Candidate, ...] = ()
    skipped: list[Skipped] = field(default_factory=list)
    predicted: int | None = None
    replayed_from: str = ""
    passed_over: list[PassedOver] = field(default_factory=list)

    @property
    def choice(self) -> Choice:
        """The one that is used: without a word of the router, what was asked for."""
        return self.choices[self.used] if self.choices else Choice(self.asked, "named")

    @property
    def fallbacks(self) -> int:
        """How many models were tried in vain."""
        return sum([passed.tried for passed in self.passed_over])


def told(route: Route, worker: str, placed_by: str) -> str:
    """How the answer came about, for the reply: `name=value` pairs with "; " between, no word of the prompt.

    In this order, those that there are: model, tier, reason, p-small, variant, worker, placed, fallbacks, and of a
    stored answer `cached-answer=` and its request. Values have neither spaces nor ";" (RFC 3986 percent-encoding).
    """
    if not route.choices and not route.replayed_from:
        return _named(route.asked, worker, placed_by)
    choice, decision = route.choice, route.decision
    judged = decision.small_probability if decision is not None else None
    pairs = (
        ("model", _value(choice.model)),
        ("tier", _value(choice.tier)),
        ("reason", _value(choice.reason)),
        ("p-small", "" if judged is None else f"{judged:.2f}"),
        ("variant", _value(choice.variant)),
        ("worker", _value(worker)),
        ("placed", _value(placed_by)),
        ("fallbacks", str(route.fallbacks or "")),
        ("cached-answer", _value(route.replayed_from)),
    )
    return "; ".join([f"{name}={value}" for name, value in pairs if value])


@lru_cache(maxsize=4096)
def _named(model: str, worker: str, placed_by: str) -> str:
    """Nearly every reply's, of which there are as many as models and workers: made once."""
    return f"model={_value(model)}; reason=named; worker={_value(worker)}; placed={_value(placed_by)}"


@lru_cache(maxsize=4096)
def _value(text: str) -> str:
    return quote(text[:128], safe="/:.@+~-_!$*'()")
