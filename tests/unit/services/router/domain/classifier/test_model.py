from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from services.router.domain.classifier.form import FORM
from services.router.domain.classifier.model import BUNDLED, BadModelError, load


def test_a_model_is_read_as_it_was_written(tmp_path: Path):
    model = load(BUNDLED)
    model.save(tmp_path / "m.npz")
    again = load(tmp_path / "m.npz")
    assert again.pieces == model.pieces
    assert np.array_equal(again.table, model.table)
    assert np.array_equal(again.form, model.form)


def changed(tmp_path: Path, **arrays: object) -> Path:
    with np.load(BUNDLED) as stored:
        found = {name: stored[name] for name in stored.files} | arrays
    path = tmp_path / "changed.npz"
    np.savez(path, **{name: value for name, value in found.items() if value is not None})
    return path


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"table": None}, "lacks table"),
        ({"version": np.int32(99)}, "version 99"),
        ({"names": np.frombuffer(b"a\nb", np.uint8)}, "other features"),
        ({"bias": np.zeros((3, 2))}, "bias is not"),
        ({"form": np.full((2, 2, len(FORM)), np.nan)}, "form is not"),
        ({"table": np.zeros((5, 2, 2))}, "table is not"),
    ],
)
def test_a_file_that_does_not_fit_is_refused_with_what_to_do(tmp_path: Path, arrays: dict, says: str):
    with pytest.raises(BadModelError, match=says) as refused:
        load(changed(tmp_path, **arrays))
    assert "tools/train_router.py" in str(refused.value)


def test_no_pickle_is_opened(tmp_path: Path):
    with pytest.raises(BadModelError, match="not a model file"):
        load(changed(tmp_path, bias=np.array([{"a": 1}], dtype=object)))


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04broken"])
def test_another_file_is_refused(tmp_path: Path, content: bytes):
    (tmp_path / "m.npz").write_bytes(content)
    with pytest.raises(BadModelError, match="not a model file"):
        load(tmp_path / "m.npz")


def test_a_missing_file_is_an_os_error(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "none.npz")


def test_models_are_small_enough_to_ship_and_hold_no_text_of_the_rows():
    assert BUNDLED.stat().st_size < 1_000_000
    assert all(len(piece) < 32 for piece in load(BUNDLED).pieces)
