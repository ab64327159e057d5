"""The import contracts of pyproject.toml must catch what they are for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FORBIDDEN = {
    "libs/clock.py": "import services.gateway.domain.turns",
    "libs/ids.py": "import cli",
    "services/router/domain/zz.py": "import services.gateway.domain.turns",
    "services/router/domain/za.py": "import vllm",
    "services/gateway/domain/zb.py": "import asyncio",
    "services/inference/ports.py": "import services.inference.usecases",
    "services/gateway/domain/zc.py": "import services.gateway.ports",
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("tree")
    for name in ("libs", "services", "cli"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def lint(root):
    command = [Path(sys.executable).parent / "lint-imports", "--no-cache", "--no-logo"]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)


def test_the_tree_as_it_is_keeps_them(tree):
    assert lint(tree).returncode == 0


@pytest.mark.parametrize("path", FORBIDDEN)
def test_a_forbidden_import_breaks_one(tree, path):
    file = tree / path
    before = file.read_text() if file.exists() else None
    file.write_text((before or "") + f"\n{FORBIDDEN[path]}\n")
    try:
        assert "BROKEN" in lint(tree).stdout
    finally:
        if before is None:
            file.unlink()
        else:
            file.write_text(before)
