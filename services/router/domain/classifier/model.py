"""The model file: linear weights of the form, a table of word pieces, and the map to a probability."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from services.router.domain.classifier.form import FORM

BUNDLED = Path(__file__).with_name("model.npz")
VERSION = 1
# Requests with options to choose from are one domain, all others the second: they differ in what makes them hard.
CHOICE, OPEN = 0, 1
# What is estimated: how much likelier the large tier is right, and how likely the small tier is.
GAIN, SMALL = 0, 1
# Weight of pieces that say nothing, so that a single known word is not taken for the whole text.
PRIOR = 4.0

Floats = NDArray[np.float32]


class BadModelError(ValueError):
    """The file is no model of this version; the message says what is wrong with it and what to do."""


@dataclass(frozen=True, eq=False)
class Model:
    """Two linear heads in each of two domains over the same features; both estimate probabilities (differences).

    A head's value is `bias + form·measured + Σ table[piece] / (pieces + PRIOR)`; an unknown piece adds nothing.
    """

    # (domain, head).
    bias: Floats
    # (domain, head, len(FORM)): for values as `measure` gives them; scaling is folded in.
    form: Floats
    # (domain, len(FORM)): what is usual, against which explanations are told.
    form_mean: Floats
    # (domain, head): mean of the words' part, for the same end.
    words_mean: Floats
    # (pieces, domain, head).
    table: Floats
    # Probability = sigmoid(slope * value of the small head + intercept) (Platt 1999).
    calibration: Floats
    pieces: tuple[bytes, ...]

    def save(self, path: Path) -> None:
        """Writes the file; no pickle, so that reading one runs no code."""
        arrays = {name: getattr(self, name).astype(np.float32) for name in _FLOATS}
        arrays["table"] = self.table.astype(np.float16)
        names = np.frombuffer("\n".join(FORM).encode(), np.uint8)
        pieces = np.frombuffer(b"\n".join(self.pieces), np.uint8)
        with path.open("wb") as file:
            np.savez_compressed(file, version=np.int32(VERSION), names=names, pieces=pieces, **arrays)


_FLOATS = tuple(field.name for field in fields(Model) if field.name != "pieces")


def load(path: Path) -> Model:
    """Reads a model file; BadModelError says why one cannot be used, OSError why it cannot be read."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            found = {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, BadZipFile, AttributeError) as problem:
        raise BadModelError(f"{path} is not a model file. Train one with tools/train_router.py.") from problem
    _check(path, found)
    arrays = {name: found[name].astype(np.float32) for name in _FLOATS}
    return Model(pieces=tuple(found["pieces"].tobytes().split(b"\n")), **arrays)


def _check(path: Path, found: dict[str, NDArray[np.generic]]) -> None:
    again = "Train it again with tools/train_router.py."
    missing = {"version", "names", "pieces", *_FLOATS} - found.keys()
    if missing:
        raise BadModelError(f"{path} lacks {', '.join(sorted(missing))}. {again}")
    if found["version"] != VERSION:
        raise BadModelError(f"{path} has version {found['version']}, not {VERSION}. {again}")
    if found["names"].tobytes().decode().split("\n") != list(FORM):
        raise BadModelError(f"{path} was trained on other features than this version measures. {again}")
    count = found["pieces"].tobytes().count(b"\n") + 1
    shapes = {"bias": (2, 2), "form": (2, 2, len(FORM)), "form_mean": (2, len(FORM)), "words_mean": (2, 2)}
    shapes |= {"table": (count, 2, 2), "calibration": (2,)}
    for name, shape in shapes.items():
        if found[name].shape != shape or not np.isfinite(found[name].astype(np.float64)).all():
            raise BadModelError(f"{path}: {name} is not {shape} finite numbers. {again}")
