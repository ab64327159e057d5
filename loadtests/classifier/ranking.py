"""APGR by repeated cross-validation beside prompt length on the same rows, with paired bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.model import GAIN, SMALL
from tools.router_training.build import calibrate, out_of_fold, probability
from tools.router_training.fit import Config, fit
from tools.router_training.metrics import apgr, brier, calibration_error, cpt
from tools.router_training.rows import Rows

Array = NDArray[np.float64]


def length(rows: Rows) -> Array:
    """The rule to beat: longer prompts go to the large model."""
    return np.array([len(prompt) for prompt in rows.prompts], float)


def validated(rows: Rows, config: Config, repeats: int, extra: Rows | None = None) -> list[Array]:
    """Per repeat both heads' predictions by fits that have not seen the row; `extra` rows are in every fit."""
    return [out_of_fold(rows, config, seed, extra) for seed in range(repeats)]


def transferred(seen: Rows, rows: Rows, config: Config) -> list[Array]:
    """Predictions by one fit on other rows."""
    return [fit(seen, config).predict(rows)]


def report(rows: Rows, predicted: Sequence[Array], samples: int) -> dict[str, Any]:
    """Figures of the gain head, length's beside them, and the 90 % interval of their paired difference."""
    gains, by_length = rows.gain, length(rows)
    scores = [each[:, GAIN] for each in predicted]
    spread = _bootstrap(scores, by_length, gains, samples)
    return {
        "rows": len(gains),
        "apgr": _rounded(np.mean([apgr(score, gains) for score in scores])),
        "apgr_interval_90": _interval(spread[:, 0]),
        "length_apgr": _rounded(apgr(by_length, gains)),
        "difference": _rounded(np.mean([apgr(score, gains) for score in scores]) - apgr(by_length, gains)),
        "difference_interval_90": _interval(spread[:, 0] - spread[:, 1]),
        **{
            f"cpt{share}": {
                "model": _rounded(np.mean([cpt(score, gains, share / 100) for score in scores]), 1),
                "length": _rounded(cpt(by_length, gains, share / 100), 1),
            }
            for share in (50, 80)
        },
    }


def forecasts(rows: Rows, config: Config, repeats: int, extra: Rows) -> dict[str, float]:
    """Brier score and calibration error of the probability that the small model is right, out of fold.

    Platt's two numbers come from all rows, as in the shipped model: two numbers cannot fit 1,500 rows too closely.
    """
    numbers = calibrate(rows.with_rows(extra), config)
    chances = [probability(each[:, SMALL], numbers) for each in validated(rows, config, repeats, extra)]
    constant = np.full(len(rows.small), rows.small.mean())
    return {
        "brier": _rounded(np.mean([brier(each, rows.small) for each in chances])),
        "brier_of_the_base_rate": _rounded(brier(constant, rows.small)),
        "calibration_error": _rounded(np.mean([calibration_error(each, rows.small) for each in chances])),
    }


def _bootstrap(scores: Sequence[Array], by_length: Array, gains: Array, samples: int) -> Array:
    """(sample, [model, length]): APGR of rows drawn with replacement, the same rows for both."""
    random = np.random.default_rng(0)
    found = []
    for sample in range(samples):
        rows = random.integers(0, len(gains), len(gains))
        if gains[rows].sum() > 0:  # else PGR has no meaning: the draw's large model is not better
            score = scores[sample % len(scores)]
            found.append((apgr(score[rows], gains[rows]), apgr(by_length[rows], gains[rows])))
    return np.array(found)


def _interval(values: Array) -> list[float]:
    return [_rounded(value) for value in np.quantile(values, [0.05, 0.95])]


def _rounded(value: Any, digits: int = 4) -> float:
    return round(float(value), digits)
