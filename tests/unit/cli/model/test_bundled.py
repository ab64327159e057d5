"""The rules around the conversion; the conversion itself is replaced by one that writes a byte."""

import pytest

from cli.config import BUNDLED_MODEL
from cli.model import bundled
from cli.model.bundled import bundled_fault, ensure_bundled_model
from libs.testing.loop import run_real


class Conversions:
    def __init__(self):
        self.count = 0
        self.breaks = False

    async def convert(self, _source, target, _progress):
        self.count += 1
        (target / "config.json").write_text("{}")
        if self.breaks:
            raise KeyboardInterrupt
        (target / "model.safetensors").write_bytes(b"weights")


@pytest.fixture
def conversions(monkeypatch, tmp_path):
    made = Conversions()

    async def source(_directory):
        return tmp_path / "source.gguf"

    monkeypatch.setattr(bundled, "convert", made.convert)
    monkeypatch.setattr(bundled, "gguf_file", source)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return made


def ensure(models):
    notes = []

    async def scenario():
        path = await ensure_bundled_model(models, lambda *_: None, notes.append)
        assert await bundled_fault(models) == ""
        return path

    return run_real(scenario()), notes


def test_it_is_converted_once(tmp_path, conversions):
    models = tmp_path / "models"
    for _ in range(2):
        assert ensure(models)[0] == models / BUNDLED_MODEL
    assert conversions.count == 1


def test_a_damaged_model_is_made_again_and_the_user_hears_why(tmp_path, conversions):
    models = tmp_path / "models"
    path, _ = ensure(models)
    (path / "model.safetensors").write_bytes(b"wEights")
    _, notes = ensure(models)
    assert conversions.count == 2
    assert "the checksum of model.safetensors is wrong" in notes[0]


def test_an_interrupted_conversion_leaves_nothing_that_looks_whole(tmp_path, conversions):
    models = tmp_path / "models"
    conversions.breaks = True
    with pytest.raises(KeyboardInterrupt):
        ensure(models)
    assert not (models / BUNDLED_MODEL).exists()
    conversions.breaks = False
    ensure(models)


def test_a_cache_that_the_user_has_made_is_filled_and_used(tmp_path, conversions):
    (tmp_path / "cache" / "headrace" / "models").mkdir(parents=True)
    ensure(tmp_path / "one")
    ensure(tmp_path / "two")
    assert conversions.count == 1


def test_no_cache_is_made_unasked(tmp_path, conversions):
    ensure(tmp_path / "one")
    assert conversions.count == 1
    assert not (tmp_path / "cache").exists()


def test_a_damaged_cache_is_not_used(tmp_path, conversions):
    cache = tmp_path / "cache" / "headrace" / "models"
    cache.mkdir(parents=True)
    ensure(tmp_path / "one")
    (cache / BUNDLED_MODEL / "model.safetensors").write_bytes(b"")
    ensure(tmp_path / "two")
    assert conversions.count == 2
