"""The model file: linear weights of the form, a table of words, and the map to a probability."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.form import FORM

BUNDLED = Path(__file__).with_name("model.npz")
VERSION = 1
# Columns of the word table and rows of the form weights.
GAIN, SMALL, WEIGHT = 0, 1, 2

Floats = NDArray[np.float32]


class BadModelError(ValueError):
    """The file is no model of this version; the message says what is wrong with it."""


@dataclass(frozen=True, eq=False)
class Model:
    """Two linear heads over the same features: what the large tier adds, and how the small tier does (in logits).

    A prompt's value is `bias + form·measured + Σ words/(Σ weights + PRIOR)`; a word unknown to the table adds nothing.
    """

    # (2, len(FORM)): per head, for values as `measure` gives them (scaling is folded in).
    form: Floats
    # Per head.
    bias: Floats
    # Mean of each measured value in training, and its standard deviation: what "usual" is, for explanations.
    form_mean: Floats
    form_deviation: Floats
    # Lower-case ASCII words, and per word the pull on each head, times its weight, and that weight.
    words: tuple[bytes, ...]
    table: Floats
    # Platt's two numbers: probability = sigmoid(slope * small head + intercept).
    calibration: Floats
    # Range of the small head in training, 1st to 99th percentile.
    usual: Floats

    def save(self, path: Path) -> None:
        """Writes the file; no pickle, so that reading one runs no code."""
        arrays = {
            name: getattr(self, name)
            for name in ("form", "bias", "form_mean", "form_deviation", "calibration", "usual")
        }
        names = np.frombuffer("\n".join(FORM).encode(), np.uint8)
        words = np.frombuffer(b"\n".join(self.words), np.uint8)
        table = self.table.astype(np.float16)
        np.savez_compressed(path, version=np.int32(VERSION), names=names, words=words, table=table, **arrays)


def load(path: Path) -> Model:
    """Reads a model file; BadModelError says why one cannot be used, OSError why it cannot be read."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except (ValueError, EOFError) as problem:
        raise BadModelError(
            f"{path} is not a model file: {problem}. Train one with tools/train_router.py."
        ) from problem
    return _checked(path, found)


def _checked(path: Path, found: dict[str, NDArray[np.generic]]) -> Model:
    if int(found.get("version", np.int32(0))) != VERSION:
        raise BadModelError(f"{path} is of another version. Train it again with tools/train_router.py.")
    try:
        if found["names"].tobytes().decode().split("\n") != list(FORM):
            raise BadModelError(f"{path} was trained on other features. Train it again with tools/train_router.py.")
        packed = found["words"].tobytes()
        words = tuple(packed.split(b"\n")) if packed else ()
        rest = ("form", "bias", "form_mean", "form_deviation", "table", "calibration", "usual")
        return Model(words=words, **{name: found[name].astype(np.float32) for name in rest})
    except KeyError as problem:
        raise BadModelError(f"{path} lacks {problem}. Train it again with tools/train_router.py.") from problem
