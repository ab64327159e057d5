"""From rows to a model file's content: the fit, the calibration by cross-validation, the table of pieces."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.model import SMALL, Model
from tools.router_training.fit import Config, Fit, fit
from tools.router_training.rows import Rows
from tools.router_training.vectors import Vectors

FOLDS = 5
Array = NDArray[np.float64]


def build(rows: Rows, vectors: Vectors, config: Config) -> Model:
    """The model of these rows; the same rows give the same model."""
    return pack(fit(rows, config), calibrate(rows, config), vectors)


def pack(found: Fit, calibration: Array, vectors: Vectors) -> Model:
    """Word weights become a table of what each piece adds."""
    table = np.einsum("pk,dhk->pdh", vectors.values, found.words)
    arrays = {name: getattr(found, name).astype(np.float32) for name in ("bias", "form", "form_mean", "words_mean")}
    return Model(
        table=table.astype(np.float32), calibration=calibration.astype(np.float32), pieces=vectors.pieces, **arrays
    )


def folds(prompts: list[str], count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each prompt; equal prompts share one."""
    group = np.unique(prompts, return_inverse=True)[1]
    chosen: NDArray[np.int64] = (np.random.default_rng(seed).permutation(group.max() + 1) % count)[group]
    return chosen


def out_of_fold(rows: Rows, config: Config, seed: int, extra: Rows | None = None) -> Array:
    """(rows, head) predicted by fits that have not seen the row; `extra` rows are in every fit."""
    fold = folds(rows.prompts, FOLDS, seed)
    predicted = np.zeros((len(rows.prompts), 2))
    for which in range(FOLDS):
        seen = rows.take(np.flatnonzero(fold != which))
        left = np.flatnonzero(fold == which)
        predicted[left] = fit(seen if extra is None else seen.with_rows(extra), config).predict(rows.take(left))
    return predicted


def calibrate(rows: Rows, config: Config, repeats: int = 4) -> Array:
    """Platt's slope and intercept for the small head, on out-of-fold predictions of rows with real outcomes."""
    real = rows.source != "everyday"
    values, outcomes = [], []
    for seed in range(repeats):
        values.append(out_of_fold(rows, config, seed)[real, SMALL])
        outcomes.append(rows.small[real])
    return platt(np.concatenate(values), np.concatenate(outcomes))


def platt(values: Array, outcomes: Array) -> Array:
    """Slope and intercept of sigmoid(slope * value + intercept), by Newton's method on Platt's softened targets.

    Platt, "Probabilistic outputs for support vector machines" (1999), section 2.2: no outcome is taken for certain.
    """
    right = outcomes.sum()
    targets = np.where(outcomes > 0.5, (right + 1) / (right + 2), 1 / (len(outcomes) - right + 2))
    design = np.stack([values, np.ones_like(values)], axis=1)
    weights = np.zeros(2)
    for _ in range(25):
        forecast = probability(values, weights)
        curvature = design.T @ (design * (forecast * (1 - forecast))[:, None])
        weights = weights + np.linalg.solve(curvature + 1e-9 * np.eye(2), design.T @ (targets - forecast))
    return weights


def probability(values: Array, calibration: Array) -> Array:
    """Calibrated probabilities."""
    chance: Array = 1 / (1 + np.exp(-(calibration[0] * values + calibration[1])))
    return chance
