"""Judges turns with a model file."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from services.router.domain.classifier.adjust import adjustments, bounded
from services.router.domain.classifier.facts import Judgement, TurnFacts
from services.router.domain.classifier.form import FORM, measure
from services.router.domain.classifier.model import BUNDLED, CHOICE, GAIN, OPEN, PRIOR, SMALL, Floats, Model, load
from services.router.domain.classifier.reading import Reading, read
from services.router.domain.classifier.strip import strip
from services.router.domain.classifier.words import Pieces

# The score is 0.5 where the large tier is expected to be right this much more often, and this many logits per unit of
# expected gain away from it: a gain of 0 scores 0.23, one of 0.4 scores 0.88.
GAIN_MIDDLE, GAIN_SLOPE = 0.15, 8.0
FEATURES_MAX = 6
# Features that pull less than this are not named, in logits.
PULL_MIN = 0.02
# Pulls of all features together, in logits, below which nothing speaks: the text is usual in every respect.
SPEAKING_MIN = 0.5
# Less of the text than this is ASCII words: another script, or no language. English has 0.8, formulas 0.4.
LETTERS_MIN = 0.25
# More distinct pieces per word than this: a language that the pieces were not made for, keys, encodings. English: 0.8.
PIECES_MAX = 1.7
# What the text has pulls of.
_NAMES = (*FORM, "wording")


class Estimate(NamedTuple):
    """Both heads' values, and what they are made of."""

    domain: int
    measured: Floats
    # Per head.
    words: Floats
    values: Floats


class Classifier:
    """Holds a model; `judge` may be called from any thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._pieces = Pieces(model.pieces)
        # Row 0 is no piece.
        padded = np.concatenate([np.zeros((1, 2, 2), np.float32), model.table])
        self._tables = tuple(np.ascontiguousarray(padded[:, domain]) for domain in (CHOICE, OPEN))
        self._usual = tuple(np.ascontiguousarray(model.form_mean[domain]) for domain in (CHOICE, OPEN))
        self._form = tuple(np.ascontiguousarray(model.form[domain]) for domain in (CHOICE, OPEN))

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """From a file of tools/train_router.py; None = the one that comes with the package. See model.load."""
        return cls(load(path or BUNDLED))

    def judge(self, turn: TurnFacts) -> Judgement:
        """How hard the turn is; tens of microseconds for some hundred characters, linear in the text."""
        reading = read(strip(turn.text))
        rows = self._pieces.rows(reading.words)
        pulls = adjustments(turn)
        lean = bounded(pulls)
        if not rows:
            return Judgement(None, unsure=True, score=sigmoid(lean), features=strongest(pulls))
        estimate = self.estimate(reading, rows)
        spoken = self._pulls(estimate)
        weights = np.abs(spoken)
        unsure = unfamiliar(reading, rows) or float(weights.sum()) + sum(map(abs, pulls.values())) < SPEAKING_MIN
        for at in weights.argsort()[-FEATURES_MAX:].tolist():
            pulls[_NAMES[at]] = float(spoken[at])
        probability = self.probability(estimate, lean)
        return Judgement(probability, unsure, sigmoid(rank(estimate) + lean), strongest(pulls))

    def score(self, text: str) -> float:
        """Rank of a text alone, between 0 and 1: higher = the large model adds more. 0.5 when nothing speaks."""
        reading = read(strip(text))
        rows = self._pieces.rows(reading.words)
        return sigmoid(rank(self.estimate(reading, rows))) if rows else 0.5

    def estimate(self, reading: Reading, rows: list[int]) -> Estimate:
        """What both heads say of a text; `rows` are those of its pieces."""
        domain = CHOICE if reading.options else OPEN
        measured = np.array(measure(reading), np.float32)
        words = self._tables[domain].take(rows, axis=0).sum(0) / (len(rows) + PRIOR)
        return Estimate(domain, measured, words, self._model.bias[domain] + self._form[domain] @ measured + words)

    def wordings(self, text: str, most: int = 6) -> list[tuple[str, float]]:
        """Words of the text with the strongest pulls on the score, in logits. They are the text's: never log them."""
        reading = read(strip(text))
        count = len(self._pieces.rows(reading.words)) + PRIOR
        table = self._tables[CHOICE if reading.options else OPEN][:, GAIN] * np.float32(GAIN_SLOPE / count)
        pulls = {word.decode(): float(table[self._pieces.rows([word])].sum()) for word in set(reading.words)}
        return list(strongest(pulls)[:most])

    def probability(self, estimate: Estimate, lean: float = 0.0) -> float:
        """Calibrated probability that the small tier answers well; `lean` is in logits, > 0 towards the large."""
        slope, intercept = self._model.calibration
        return sigmoid(float(slope * estimate.values[SMALL] + intercept) - lean)

    def _pulls(self, estimate: Estimate) -> Floats:
        """What each of _NAMES adds to the score's logit, against a usual text of the same domain."""
        domain = estimate.domain
        pulls = np.empty(len(_NAMES), np.float32)
        np.subtract(estimate.measured, self._usual[domain], out=pulls[:-1])
        pulls[:-1] *= self._form[domain][GAIN]
        pulls[-1] = estimate.words[GAIN] - self._model.words_mean[domain, GAIN]
        pulls *= GAIN_SLOPE
        return pulls


def rank(estimate: Estimate) -> float:
    """Logit of the score."""
    return GAIN_SLOPE * (float(estimate.values[GAIN]) - GAIN_MIDDLE)


def strongest(pulls: dict[str, float]) -> tuple[tuple[str, float], ...]:
    """Those that weigh most, strongest first."""
    ranked = sorted(((name, pull) for name, pull in pulls.items() if abs(pull) >= PULL_MIN), key=_weight, reverse=True)
    return tuple(ranked[:FEATURES_MAX])


def _weight(feature: tuple[str, float]) -> float:
    return abs(feature[1])


def unfamiliar(reading: Reading, rows: list[int]) -> bool:
    """The text is hardly English: what the model learned does not speak about it."""
    letters = sum(map(len, reading.words))
    return letters < LETTERS_MIN * len(reading.raw) or len(rows) > PIECES_MAX * len(reading.words)


def sigmoid(value: float) -> float:
    """Logit to probability, without overflow."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, value))))
