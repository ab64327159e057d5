import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).parents[3] / "tools"


@pytest.fixture(autouse=True)
def tools_path(monkeypatch):
    monkeypatch.syspath_prepend(str(TOOLS))


@pytest.fixture
def repository(tmp_path):
    """A git checkout; `repository(path, text)` adds a file and returns the root."""
    subprocess.run(["git", "init", "-q", tmp_path], check=True)

    def add(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
        return tmp_path

    sys.modules.pop("repo", None)
    return add
