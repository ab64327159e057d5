"""How well scores rank prompts by the need for the large model: RouteLLM's measures (arXiv 2406.18665, section 4)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def pgr_curve(scores: Vector, gains: Vector) -> Vector:
    """PGR when the top k prompts go to the large model, k = 0 … n; prompts of equal score go there in equal parts.

    `gains` = large right minus small right, per prompt; their sum must not be 0.
    """
    order = np.argsort(-scores, kind="stable")
    _, group, count = np.unique(-scores[order], return_inverse=True, return_counts=True)
    shared = (np.bincount(group, gains[order]) / count)[group]
    return np.concatenate([[0.0], np.cumsum(shared)]) / gains.sum()


def apgr(scores: Vector, gains: Vector) -> float:
    """Area under PGR over the share sent to the large model. Random = 0.5; higher is better; above 1 is possible."""
    curve = pgr_curve(scores, gains)
    return float(((curve[1:] + curve[:-1]) / 2).mean())


def cpt(scores: Vector, gains: Vector, wanted: float) -> float:
    """Least share of calls to the large model, in %, with PGR >= `wanted`: first crossing, interpolated."""
    curve = pgr_curve(scores, gains)
    first = int(np.argmax(curve >= wanted))
    before = curve[first - 1]
    return float(100 * (first - 1 + (wanted - before) / (curve[first] - before)) / (len(curve) - 1))


def calibration_error(probabilities: Vector, outcomes: Vector, bins: int = 10) -> float:
    """Expected calibration error over bins of equal count: mean distance of the mean forecast from the share seen."""
    parts = np.array_split(np.argsort(probabilities, kind="stable"), bins)
    gaps = [len(part) * abs(probabilities[part].mean() - outcomes[part].mean()) for part in parts if len(part)]
    return float(sum(gaps) / len(probabilities))


def brier(probabilities: Vector, outcomes: Vector) -> float:
    """Mean squared error of the forecasts."""
    return float(((probabilities - outcomes) ** 2).mean())
