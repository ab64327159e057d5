"""Recompiles requirements/*.txt: one resolution of everything, and from it one hash-locked file per extra.

Package versions stay as they are in all.txt; `--upgrade` takes the newest that fit.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIR = Path("requirements")
FLAGS = (
    "--generate-hashes",
    "--universal",
    "--python-version=3.11",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--no-header",
    "--quiet",
)
HEADER = "# Compiled by `make lock`; do not edit.\n"


def compile_lock(output: str, *inputs: str) -> None:
    """Writes requirements/<output>.txt; raises CalledProcessError when there is no solution."""
    path = DIR / f"{output}.txt"
    command = ("uv", "pip", "compile", *FLAGS, *inputs, "-o", str(path))
    uv = Path(sys.executable).parent / "uv"
    subprocess.run([str(uv), *command[1:]], cwd=ROOT, check=True)
    text = (ROOT / path).read_text()
    (ROOT / path).write_text(HEADER + text.removeprefix(HEADER))
    print(f"{path}: {text.count('==')} packages")


def main() -> None:
    """Compiles all.txt first; the others may only choose from it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upgrade", action="store_true")
    upgrade = ["--upgrade"] if parser.parse_args().upgrade else []
    overrides = ("--override", str(DIR / "overrides.in"))
    compile_lock("all", "pyproject.toml", "--all-extras", *overrides, *upgrade)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    chosen = ("-c", str(DIR / "all.txt"), *overrides)
    compile_lock("base", "pyproject.toml", *chosen)
    for extra in extras:
        compile_lock(extra, "pyproject.toml", "--extra", extra, *chosen)
    compile_lock("uv", str(DIR / "uv.in"), "-c", str(DIR / "all.txt"))
    compile_lock("model", str(DIR / "model.in"), "--no-deps")


if __name__ == "__main__":
    main()
