"""Judges turns with a model file."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from math import exp
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np

from services.router.domain.classifier.adjust import adjustments, bounded
from services.router.domain.classifier.facts import Judgement, TurnFacts
from services.router.domain.classifier.form import FORM, measure
from services.router.domain.classifier.model import BUNDLED, CHOICE, GAIN, OPEN, PRIOR, SMALL, Model, load
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
# What a text has pulls of.
_NAMES = (*FORM, "wording")


class _Domain:
    """The model's numbers of one domain, scaled to the logit of the score and laid out for one pass."""

    def __init__(self, model: Model, domain: int) -> None:
        # Pull of a measured value = weight * value - usual.
        self.form = np.ascontiguousarray(model.form[domain, GAIN]) * np.float32(GAIN_SLOPE)
        self.usual = self.form * model.form_mean[domain]
        self.usual_words = float(model.words_mean[domain, GAIN]) * GAIN_SLOPE
        # Logit of a text that is usual in every respect.
        level = model.bias[domain, GAIN] + model.form[domain, GAIN] @ model.form_mean[domain]
        self.level = GAIN_SLOPE * (float(level) - GAIN_MIDDLE) + self.usual_words
        slope, intercept = model.calibration
        self.small = np.ascontiguousarray(model.form[domain, SMALL]) * slope
        self.small_level = float(slope * model.bias[domain, SMALL] + intercept)
        # Row 0 is no piece.
        scaled = model.table[:, domain] * np.array([GAIN_SLOPE, slope], np.float32)
        self.table = np.concatenate([np.zeros((1, 2), np.float32), scaled])


class Estimate(NamedTuple):
    """What a text alone says: pulls in the order of _NAMES, and the logits of score and small tier's success."""

    pulls: list[float]
    score: float
    small: float


class Classifier:
    """Holds a model; `judge` may be called from any thread."""

    def __init__(self, model: Model) -> None:
        self._pieces = Pieces(model.pieces)
        self._domains = (_Domain(model, CHOICE), _Domain(model, OPEN))

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """From a file of tools/train_router.py; None = the one that comes with the package. See model.load."""
        return cls(load(path or BUNDLED))

    def judge(self, turn: TurnFacts) -> Judgement:
        """How hard the turn is; tens of microseconds for some hundred characters, bounded for any."""
        reading = read(strip(turn.text), max(0, turn.text_characters - len(turn.text)))
        rows = self._pieces.rows(reading.words)
        facts = adjustments(turn)
        lean = bounded(facts) if facts else 0.0
        if not rows:
            return Judgement(None, unsure=True, score=sigmoid(lean), features=strongest(facts.items()))
        pulls, score, small = self.estimate(reading, rows)
        spoken = sum(map(abs, pulls)) + sum(map(abs, facts.values()))
        unsure = spoken < SPEAKING_MIN or unfamiliar(reading, rows)
        features = strongest(chain(facts.items(), zip(_NAMES, pulls, strict=True)))
        return Judgement(sigmoid(small - lean), unsure, sigmoid(score + lean), features)

    def score(self, text: str) -> float:
        """Rank of a text alone, between 0 and 1: higher = the large model adds more. 0.5 when nothing speaks."""
        reading = read(strip(text))
        rows = self._pieces.rows(reading.words)
        return sigmoid(self.estimate(reading, rows).score) if rows else 0.5

    def wordings(self, text: str, most: int = FEATURES_MAX) -> list[tuple[str, float]]:
        """Words of the text with the strongest pulls on the score, in logits. They are the text's: never log them."""
        reading = read(strip(text))
        domain = self._domains[CHOICE if reading.options else OPEN]
        weight = 1 / (len(self._pieces.rows(reading.words)) + PRIOR)
        rows = {word: self._pieces.rows([word]) for word in dict.fromkeys(reading.words)}
        pulls = [(word.decode(), float(domain.table[found, 0].sum()) * weight) for word, found in rows.items()]
        return list(strongest(pulls)[:most])

    def estimate(self, reading: Reading, rows: list[int]) -> Estimate:
        """What a text says; `rows` are those of its pieces."""
        domain = self._domains[CHOICE if reading.options else OPEN]
        measured = np.array(measure(reading), np.float32)
        pulls: list[float] = (domain.form * measured - domain.usual).tolist()
        gain, small = np.add.reduce(domain.table.take(rows, 0)).tolist()
        weight = 1 / (len(rows) + PRIOR)
        pulls.append(gain * weight - domain.usual_words)
        return Estimate(
            pulls, domain.level + sum(pulls), domain.small_level + float(domain.small.dot(measured)) + small * weight
        )


def strongest(pulls: Iterable[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    """Those that weigh most, strongest first."""
    heard = [pull for pull in pulls if not -PULL_MIN < pull[1] < PULL_MIN]
    heard.sort(key=_weight, reverse=True)
    return tuple(heard[:FEATURES_MAX])


def _weight(feature: tuple[str, float]) -> float:
    return abs(feature[1])


def unfamiliar(reading: Reading, rows: list[int]) -> bool:
    """The text is hardly English: what the model learned does not speak about it."""
    letters = sum(map(len, reading.words))
    return letters < LETTERS_MIN * len(reading.raw) or len(rows) > PIECES_MAX * len(reading.words)


def sigmoid(value: float) -> float:
    """Logit to probability, without overflow."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, value))))
