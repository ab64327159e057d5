"""The rows to learn from: outcomes of real models from files, and prompts of everyday work with assumed outcomes."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.form import measure
from services.router.domain.classifier.model import CHOICE, OPEN, PRIOR
from services.router.domain.classifier.reading import read
from services.router.domain.classifier.strip import strip
from services.router.domain.classifier.words import Pieces
from tools.router_training.vectors import Vectors

Matrix = NDArray[np.float64]
EVERYDAY = Path(__file__).with_name("everyday.jsonl")
FILES = {"mmlu": "mmlu_train.csv", "gsm8k": "gsm8k_train.csv"}


@dataclass(frozen=True, eq=False)
class Rows:
    """Prompts with outcomes (0 to 1). `source` is "mmlu", "gsm8k" or "everyday"; `group` a subject, or the source."""

    prompts: list[str]
    small: NDArray[np.float64]
    large: NDArray[np.float64]
    source: NDArray[np.str_]
    group: NDArray[np.str_]
    domain: NDArray[np.int64]
    # Measured form, and mean vector of the pieces.
    form: Matrix
    words: Matrix

    @property
    def gain(self) -> NDArray[np.float64]:
        """What the large model adds, per prompt: -1 to 1."""
        return self.large - self.small

    def take(self, index: NDArray[np.int64]) -> Rows:
        """The rows at these positions."""
        return Rows(
            [self.prompts[at] for at in index],
            *(getattr(self, name)[index] for name in _COLUMNS),
        )

    def with_rows(self, other: Rows) -> Rows:
        """These, then the others."""
        return Rows(
            self.prompts + other.prompts,
            *(np.concatenate([getattr(self, name), getattr(other, name)]) for name in _COLUMNS),
        )


_COLUMNS = ("small", "large", "source", "group", "domain", "form", "words")


def load_rows(sources: list[str], data: Path, vectors: Vectors) -> Rows:
    """Rows of the sources named; OSError when a file is not there."""
    found = [row for source in sources for row in (_everyday() if source == "everyday" else _outcomes(data, source))]
    pieces = Pieces(vectors.pieces)
    readings = [read(strip(prompt)) for prompt, *_ in found]
    column = list(zip(*found, strict=True))
    return Rows(
        list(column[0]),
        np.array(column[1], float),
        np.array(column[2], float),
        np.array(column[3]),
        np.array(column[4]),
        np.array([CHOICE if reading.options else OPEN for reading in readings]),
        np.array([measure(reading) for reading in readings]),
        np.array([_mean(vectors.values, pieces.rows(reading.words)) for reading in readings]),
    )


def _mean(values: Matrix, rows: list[int]) -> NDArray[np.float64]:
    """As the classifier weighs pieces; its row 0 is no piece."""
    mean: NDArray[np.float64] = values[np.array(rows, int) - 1].sum(0) / (len(rows) + PRIOR)
    return mean


def _outcomes(data: Path, source: str) -> list[tuple[str, float, float, str, str]]:
    with (data / FILES[source]).open(newline="") as file:
        return [
            (
                row["prompt"],
                float(row["small_correct"]),
                float(row["large_correct"]),
                source,
                row.get("subject", source),
            )
            for row in csv.DictReader(file)
        ]


def _everyday() -> list[tuple[str, float, float, str, str]]:
    kinds = [json.loads(line) for line in EVERYDAY.read_text().splitlines()]
    return [
        (prompt, kind["small"], kind["large"], "everyday", kind["kind"]) for kind in kinds for prompt in kind["prompts"]
    ]
