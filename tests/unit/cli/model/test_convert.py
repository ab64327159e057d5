import sys

import pytest

from cli.errors import CliError
from cli.model import convert as module
from cli.model.convert import TASK, convert, parse_bar
from libs.testing.loop import run_real


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("Converting and de-quantizing GGUF tensors...:   0%|          | 0/272 [00:00<?, ?it/s]", 0.2),
        ("Converting and de-quantizing GGUF tensors...:  50%|█████     | 136/272 [00:01<00:00]", 0.4),
        ("Loading weights: 100%|██████████| 272/272 [00:00<00:00, 13362.82it/s]", 0.7),
        ("\rLoading weights: 100%|██████████| 272/272\nWriting model shards:   0%|          | 0/1", 0.7),
        ("Writing model shards: 100%|██████████| 1/1", 0.9),
        ("Something else: 40%|", None),
        ("a warning of torch", None),
        ("", None),
    ],
)
def test_bars_become_shares_of_the_whole(text, share):
    assert parse_bar(text) == pytest.approx(share)


def program(tmp_path, monkeypatch, code):
    script = tmp_path / "program.py"
    script.write_text(code)
    monkeypatch.setattr(module, "converter", lambda _source, _target: (sys.executable, str(script)))


def test_progress_rises_to_the_end(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "import sys\nsys.stderr.write('Loading weights: 100%|x')")
    seen = []
    run_real(convert(tmp_path / "a.gguf", tmp_path, lambda *said: seen.append(said)))
    assert seen == [(TASK, 0.0, 0.0), (TASK, pytest.approx(0.7), 1.0), (TASK, 1.0, 1.0)]


def test_a_conversion_that_fails_says_its_last_lines(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "raise SystemExit('no memory left')")
    with pytest.raises(CliError, match="no memory left"):
        run_real(convert(tmp_path / "a.gguf", tmp_path, lambda *_: None))
