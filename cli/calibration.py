"""The threshold that sends a wanted share of turns to the large tier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.router.domain.classifier import Judgement

# Digits of a threshold: a million steps are finer than any traffic can tell.
_DIGITS = 6


@dataclass(frozen=True, slots=True)
class Calibration:
    """`threshold`: from this score on a turn is the large tier's. Shares are of all turns, unsure ones included."""

    threshold: float
    wanted: float
    achieved: float
    turns: int
    unsure: int
    quantiles: dict[str, float]
    note: str = ""


def calibrated(judged: Sequence[Judgement], wanted: float, *, unsure_is_strong: bool) -> Calibration:
    """Of at least one judgement; as near to `wanted` as equal scores and unsure turns allow, and says so."""
    sure = sorted((each.score for each in judged if not each.unsure), reverse=True)
    unsure = len(judged) - len(sure)
    given = unsure if unsure_is_strong else 0
    above = min(len(sure), max(0, round(wanted * len(judged)) - given))
    threshold = _between(sure, above)
    strong = given + sum(score >= threshold for score in sure)
    achieved = strong / len(judged)
    note = "" if abs(achieved - wanted) <= 0.5 / len(judged) + 1e-9 else _why(wanted, given / len(judged), achieved)
    return Calibration(threshold, wanted, achieved, len(judged), unsure, _quantiles(sure), note)


def _between(falling: Sequence[float], above: int) -> float:
    """A threshold with `above` scores at or above it."""
    if above == 0:
        return 1.0
    if above == len(falling):
        return 0.0
    return round((falling[above - 1] + falling[above]) / 2, _DIGITS)


def _why(wanted: float, given: float, achieved: float) -> str:
    if given > wanted:
        return "unsure turns alone are more than the wanted share; policy.unsure: small would keep them small"
    if achieved < wanted:
        return "unsure turns go to the small tier whatever the threshold"
    return "many turns have the same score"


def _quantiles(falling: Sequence[float]) -> dict[str, float]:
    if not falling:
        return {}
    last = len(falling) - 1
    return {f"p{100 - share}": round(falling[share * last // 100], 4) for share in (90, 50, 10)}
