"""From a probability to the tier that a turn wants by itself."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from services.router.domain.tiers import RANK, Tier, Tiers


class Mode(StrEnum):
    """Names that are routed by tier."""

    AUTO = "auto"
    CHEAP = "auto:cheap"
    BEST = "auto:best"


MODES: frozenset[str] = frozenset(Mode)


class ChoiceReason(StrEnum):
    """Why a model is in the plan; the value is `ModelChoice.reason`."""

    CLASSIFIED = "classified"
    # Nothing spoke: policy decided.
    UNSURE = "unsure"
    # The session's tier.
    STICKY = "sticky"
    # One tier up, because the agent makes no progress.
    STALLED = "stalled"
    # The caller's min_tier.
    FLOOR = "floor"
    # Named by the caller.
    ASKED = "asked"
    # The variant that this session (or key) has of a named pool.
    VARIANT = "variant"
    SAME_TIER = "fallback-same-tier"
    UP = "fallback-up"
    DOWN = "fallback-down"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Of the classifier's score, 0 to 1: large from `large` on, frontier from `frontier` on, else small.

    `mode_shift` moves both in log-odds: up for auto:cheap, down for auto:best. At 1.0 an answer must be 2.7 times as
    likely (in odds) to need the dearer tier, or as little.
    """

    large: float
    frontier: float
    mode_shift: float

    def of(self, mode: str) -> tuple[float, float]:
        """(`large`, `frontier`) for a mode."""
        if mode == Mode.AUTO:
            return self.large, self.frontier
        shift = self.mode_shift if mode == Mode.CHEAP else -self.mode_shift
        return _shifted(self.large, shift), _shifted(self.frontier, shift)


@dataclass(frozen=True, slots=True)
class Wish:
    """What a turn would get without a session: `reason` is CLASSIFIED or UNSURE, `why` in words."""

    tier: Tier
    reason: ChoiceReason
    why: str


def wish(score: float | None, mode: str, tiers: Tiers, thresholds: Thresholds, unsure_tier: Tier) -> Wish:
    """The tier by thresholds; where nothing spoke (None), the one that policy names, for auto:best at least large."""
    if score is None or math.isnan(score):
        least = Tier.LARGE if mode == Mode.BEST else unsure_tier
        named = max(unsure_tier, least, key=RANK.__getitem__)
        return Wish(tiers.nearest(named), ChoiceReason.UNSURE, f"nothing tells how hard it is: policy says {named}")
    large, frontier = thresholds.of(mode)
    named = Tier.FRONTIER if score >= frontier else Tier.LARGE if score >= large else Tier.SMALL
    why = f"score {score:.2f} is {named} (large from {large:.2f}, frontier from {frontier:.2f})"
    return Wish(tiers.nearest(named), ChoiceReason.CLASSIFIED, why)


def _shifted(probability: float, shift: float) -> float:
    if not 0.0 < probability < 1.0:  # "always" and "never" stay what they are
        return probability
    return 1.0 / (1.0 + math.exp(-(math.log(probability / (1.0 - probability)) + shift)))
