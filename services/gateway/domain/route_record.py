"""How a call's model and worker were found, as it stands in its request record: bounded, and no word of the prompt."""

from __future__ import annotations

from typing import Any

import msgspec

from libs.money import to_dollars
from services.gateway.domain.plan import Candidate
from services.gateway.domain.route import Decision, Route

# Of each list; a plan, a tier and a judgement are short, and what is beyond was not looked at.
KEPT_MAX = 8
_TEXT_MAX = 300


class ChoiceRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model that might have answered."""

    model: str
    reason: str
    tier: str = ""
    variant: str = ""


class PassedRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model or worker that was passed over. `tried`: work was asked for in vain."""

    name: str
    why: str
    tried: bool = False


class CandidateRecord(msgspec.Struct, frozen=True, omit_defaults=True):
    """A worker of the last plan. `cost` is what the placement weighed, in tokens of work: lower is better."""

    worker: str
    reason: str
    cached_tokens: int = 0
    cost: float = 0.0


class RouteRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """See Route and Decision, of which this is a copy."""

    asked: str
    used: int = 0
    tier: str = ""
    small_probability: float | None = None
    unsure: bool = False
    why: str = ""
    features: tuple[tuple[str, float], ...] = ()
    previous_tier: str = ""
    switch_cost_nanodollars: int = 0
    choices: tuple[ChoiceRecord, ...] = ()
    models_passed: tuple[PassedRecord, ...] = ()
    workers_skipped: tuple[PassedRecord, ...] = ()
    candidates: tuple[CandidateRecord, ...] = ()
    predicted_cached_tokens: int | None = None
    cached_answer: str = ""

    def shown(self) -> dict[str, Any]:
        """The route as clients see it."""
        return {
            "asked": self.asked,
            "decision": self._decision() if self.choices else None,
            "choices": [_whole(choice) | {"used": at == self.used} for at, choice in enumerate(self.choices)],
            "models_passed_over": [_whole(passed) for passed in self.models_passed],
            "candidates": [_whole(candidate) for candidate in self.candidates],
            "workers_skipped": [{"name": skipped.name, "why": skipped.why} for skipped in self.workers_skipped],
            "predicted_cached_tokens": self.predicted_cached_tokens,
            "cached_answer": self.cached_answer or None,
        }

    def _decision(self) -> dict[str, Any]:
        return {
            "tier": self.tier or None,
            "small_probability": self.small_probability,
            "unsure": self.unsure,
            "why": self.why,
            "features": [{"name": name, "weight": weight} for name, weight in self.features],
            "previous_tier": self.previous_tier or None,
            "switch_cost_usd": to_dollars(self.switch_cost_nanodollars),
        }


def route_record(route: Route) -> RouteRecord:
    """The record of a route; of a named model no more than candidates, for these are made for every call."""
    candidates = tuple([_candidate(each) for each in route.candidates[:KEPT_MAX]])
    skipped = tuple([PassedRecord(each.worker, each.why) for each in route.skipped[:KEPT_MAX]])
    if not route.choices:
        return RouteRecord(
            asked=route.asked,
            workers_skipped=skipped,
            candidates=candidates,
            predicted_cached_tokens=route.predicted,
            cached_answer=route.replayed_from,
        )
    told = route.decision or Decision(route.choice.tier)
    return RouteRecord(
        asked=route.asked,
        used=route.used,
        tier=told.tier,
        small_probability=told.small_probability,
        unsure=told.unsure,
        why=told.why[:_TEXT_MAX],
        features=tuple([(name, round(weight, 4)) for name, weight in told.features[:KEPT_MAX]]),
        previous_tier=told.previous_tier,
        switch_cost_nanodollars=told.switch_cost,
        choices=tuple([ChoiceRecord(c.model, c.reason, c.tier, c.variant) for c in route.choices[:KEPT_MAX]]),
        models_passed=tuple([PassedRecord(each.model, each.why, each.tried) for each in route.passed_over[:KEPT_MAX]]),
        workers_skipped=skipped,
        candidates=candidates,
        predicted_cached_tokens=route.predicted,
        cached_answer=route.replayed_from,
    )


def _candidate(candidate: Candidate) -> CandidateRecord:
    return CandidateRecord(candidate.worker, candidate.reason, candidate.cached_tokens, round(candidate.cost, 1))


def _whole(record: msgspec.Struct) -> dict[str, Any]:
    """All fields, those with their default value too."""
    return msgspec.structs.asdict(record)
