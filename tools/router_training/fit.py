"""Fits both heads: ridge regression with a prior mean, weights partly shared between the two domains.

The weights of domain d are `prior + shared + own[d]`: what one domain teaches counts in the other by the share
`shared` of the variance (the linear model of coregionalisation; Alvarez, Rosasco & Lawrence 2012, arXiv 1106.6251).
The prior mean is the one thing known beforehand: longer requests are harder. With few rows it is what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import log, sqrt

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.form import FORM
from services.router.domain.classifier.model import CHOICE, OPEN
from tools.router_training.rows import Rows

Array = NDArray[np.float64]
DOMAINS = (CHOICE, OPEN)
LENGTH = FORM.index("characters")


def _noise() -> dict[str, float]:
    return {"mmlu": 6.0, "gsm8k": 12.0, "everyday": 20.0}


@dataclass(frozen=True)
class Config:
    """What the fit may be told; all of it was chosen by cross-validation on the given rows, coarsely."""

    # Noise variance of one outcome against the variance that all features together explain. 1 believes every row;
    # 100 and more leaves the prior.
    noise: dict[str, float] = field(default_factory=_noise)
    # Share of the weights' variance that the domains have in common. 0: nothing carries over; 1: they are one.
    shared: float = 0.3
    # Variance of all form weights together, where that of the words is 1.
    form: float = 0.3
    # Prior slope of each head per LENGTH_UNIT of log characters.
    prior: tuple[float, float] = (0.06, -0.03)
    # An outcome is drawn so far towards the mean of its subject, itself drawn to the overall mean by SUBJECT_ROWS.
    subject_share: float = 0.5


# Log characters of usual requests: centre and spread.
LENGTH_CENTRE, LENGTH_UNIT = log(245.0), 0.8
SUBJECT_ROWS = 10.0


@dataclass(frozen=True, eq=False)
class Fit:
    """Weights for raw features: index domain, head; see services.router.domain.classifier.model."""

    bias: Array
    form: Array
    words: Array
    form_mean: Array
    words_mean: Array

    def predict(self, rows: Rows) -> Array:
        """(rows, head)."""
        at = rows.domain
        form = np.einsum("nhf,nf->nh", self.form[at], rows.form)
        return self.bias[at] + form + np.einsum("nhk,nk->nh", self.words[at], rows.words)


def fit(rows: Rows, config: Config) -> Fit:
    """Deterministic; a domain without rows gets the prior, the shared part and the other's level."""
    noise = np.array([config.noise[source] for source in rows.source])
    form_mean, words_mean = (_domain_means(values, rows.domain, noise) for values in (rows.form, rows.words))
    form_scale, words_scale = _scales(rows, form_mean, words_mean, config)
    centred = np.hstack(
        [(rows.form - form_mean[rows.domain]) * form_scale, (rows.words - words_mean[rows.domain]) * words_scale]
    )
    targets = np.stack([_drawn(rows.gain, rows, config), _drawn(rows.small, rows, config)], axis=1)
    level = _domain_means(targets, rows.domain, noise)
    prior = np.zeros((2, len(FORM)))
    prior[:, LENGTH] = np.array(config.prior) / LENGTH_UNIT
    residual = targets - level[rows.domain] - (rows.form - form_mean[rows.domain]) @ prior.T
    weights = _solve(centred, residual, rows.domain, noise, config.shared)
    count = len(FORM)
    form = prior + weights[:, :, :count] * form_scale
    words = weights[:, :, count:] * words_scale
    words_part = np.einsum("dhk,dk->dh", words, words_mean)
    bias = level - np.einsum("dhf,df->dh", form, form_mean) - words_part
    return Fit(bias, form, words, form_mean, words_part)


def _solve(centred: Array, residual: Array, domain: Array, noise: Array, shared: float) -> Array:
    """Ridge over [shared, own of each domain] columns; gives (domain, head, column)."""
    columns = [centred * sqrt(shared)]
    columns += [centred * (domain == which)[:, None] * sqrt(1 - shared) for which in DOMAINS]
    design = np.hstack(columns)
    weighted = design / noise[:, None]
    solved = np.linalg.solve(weighted.T @ design + np.eye(design.shape[1]), weighted.T @ residual)
    common, *own = np.split(solved, 3)
    return np.stack([(common * sqrt(shared) + part * sqrt(1 - shared)).T for part in own])


def _domain_means(values: Array, domain: Array, noise: Array) -> Array:
    """(domain, column), rows weighed by how much they tell; a domain without rows has the mean of all."""
    every = np.average(values, axis=0, weights=1 / noise)
    found = []
    for which in DOMAINS:
        chosen = domain == which
        found.append(np.average(values[chosen], axis=0, weights=1 / noise[chosen]) if chosen.any() else every)
    return np.stack(found)


def _scales(rows: Rows, form_mean: Array, words_mean: Array, config: Config) -> tuple[Array, float]:
    """Form: each column has unit spread where it varies most, all together the variance asked for; words: 1 in all."""
    form = rows.form - form_mean[rows.domain]
    spreads = [form[rows.domain == which].std(0) for which in DOMAINS if (rows.domain == which).any()]
    spread = np.max(spreads, axis=0)
    unit = np.where(spread > 1e-6, 1 / np.maximum(spread, 1e-6), 0.0)
    form_scale = unit * sqrt(config.form / ((form * unit) ** 2).sum(1).mean())
    words = rows.words - words_mean[rows.domain]
    return form_scale, 1 / sqrt((words**2).sum(1).mean())


def _drawn(outcome: Array, rows: Rows, config: Config) -> Array:
    """Outcomes drawn to the shrunken mean of their subject: less noise, and subjects can be told from words."""
    drawn = outcome.astype(float).copy()
    for source in np.unique(rows.source):
        of_source = rows.source == source
        mean = outcome[of_source].mean()
        groups = np.unique(rows.group[of_source])
        for group in groups if len(groups) > 1 and source != "everyday" else ():
            chosen = of_source & (rows.group == group)
            shrunk = (outcome[chosen].sum() + SUBJECT_ROWS * mean) / (chosen.sum() + SUBJECT_ROWS)
            drawn[chosen] += config.subject_share * (shrunk - outcome[chosen])
    return drawn
