import importlib

import pytest


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """The tool in an empty checkout, with what it would run written down."""
    tool = importlib.import_module("setup")
    for name in tool.INPUTS:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    venv = tmp_path / ".venv"
    tool.calls = []

    def call(*command):
        words = [str(word) for word in command]
        tool.calls.append(" ".join(words))
        if "venv" in words or "pip" in words:
            (venv / "bin").mkdir(parents=True, exist_ok=True)
            (venv / "bin/python").touch()

    monkeypatch.setattr(tool, "ROOT", tmp_path)
    monkeypatch.setattr(tool, "VENV", venv)
    monkeypatch.setattr(tool, "STAMP", venv / ".setup")
    monkeypatch.setattr(tool, "call", call)
    return tool


def test_the_first_run_makes_everything_and_the_second_nothing(setup):
    assert setup.main() == 0
    assert [text for text in setup.calls if "uv.txt" in text]
    assert [text for text in setup.calls if "pip sync" in text and "--require-hashes" in text]
    assert [text for text in setup.calls if "--editable" in text and "--no-deps" in text]
    setup.calls.clear()
    assert setup.main() == 0
    assert setup.calls == []


def test_a_changed_lock_installs_again(setup):
    setup.main()
    setup.calls.clear()
    (setup.ROOT / "requirements/all.txt").write_text("other")
    assert setup.main() == 0
    assert [text for text in setup.calls if "pip sync" in text]


def test_an_install_that_failed_is_tried_again(setup, monkeypatch):
    def fail(uv):
        raise setup.SetupError("no network")

    with monkeypatch.context() as broken:
        broken.setattr(setup, "install", fail)
        assert setup.main() == 1
    assert not setup.ready()
    assert setup.main() == 0


def test_no_fitting_python_is_told_with_the_fix(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup, "version_of", lambda python: (3, 9))
    assert setup.main() == 1
    assert "make PYTHON=PATH" in capsys.readouterr().out


def test_a_fitting_python_on_the_path_is_taken(setup, monkeypatch):
    monkeypatch.setattr(setup.shutil, "which", lambda name: f"/bin/{name.rsplit('/', 1)[-1]}")
    monkeypatch.setattr(setup, "version_of", lambda python: (3, 12) if python.endswith("3.12") else (3, 9))
    assert setup.find_python() == "/bin/python3.12"


def test_bytecode_is_written_whatever_the_environment_says(setup, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in setup.environment()
