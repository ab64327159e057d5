"""Judges turns with a model file."""

from __future__ import annotations

from math import exp
from pathlib import Path
from typing import Self

import numpy as np

from services.router.domain.classifier.adjust import adjustments, bounded
from services.router.domain.classifier.facts import Judgement, TurnFacts
from services.router.domain.classifier.form import FORM, measure
from services.router.domain.classifier.model import BUNDLED, GAIN, SMALL, WEIGHT, Model, load
from services.router.domain.classifier.reading import Reading, read
from services.router.domain.classifier.strip import strip

# Weight of words that say nothing: a prompt of one known word is not that word alone.
PRIOR = 4.0
FEATURES_MAX = 6


class Classifier:
    """Holds a model; `judge` may be called from any thread."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._rows = {word: row for row, word in enumerate(model.words, 1)}
        # Row 0 is every word that the table lacks.
        self._table = np.vstack([np.zeros((1, 3), np.float32), model.table.reshape(-1, 3)])

    @classmethod
    def load(cls, path: Path | None = None) -> Self:
        """From a file of tools/train_router.py; None = the one that comes with the package. See model.load."""
        return cls(load(path or BUNDLED))

    def judge(self, turn: TurnFacts) -> Judgement:
        """How hard the turn is; tens of microseconds for a text of some hundred characters, linear in the text."""
        text = strip(turn.text)
        reading = read(text)
        if not reading.words:
            return Judgement(None, unsure=True, score=0.5)
        pulls = adjustments(turn)
        lean = bounded(pulls)
        heads = self.heads(reading)
        slope, intercept = self._model.calibration
        probability = sigmoid(float(slope * heads[SMALL] + intercept) - lean)
        return Judgement(probability, unsure=False, score=sigmoid(float(heads[GAIN]) + lean), features=())

    def heads(self, reading: Reading) -> np.ndarray:
        """Value of both heads."""
        model = self._model
        rows = self._rows
        words = self._table[[rows.get(word, 0) for word in reading.words]].sum(0)
        said: np.ndarray = words[:WEIGHT] / (words[WEIGHT] + PRIOR)
        return said + model.form @ np.array(measure(reading), np.float32) + model.bias


def sigmoid(value: float) -> float:
    """Logit to probability, without overflow."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, value))))
