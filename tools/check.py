"""All checks of `make check`: runs every one, shows what failed, ends with 1 if any did."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from repo import ROOT

BIN = Path(sys.executable).parent
TOOLS = ROOT / "tools"
# Name → command. Protos may only change in ways that old clients survive: protos/baseline.binpb is what was promised
# (`buf build -o protos/baseline.binpb` at a release).
CHECKS: dict[str, list[str]] = {
    "style": [f"{BIN}/ruff", "check", "--quiet", "."],
    "format": [f"{BIN}/ruff", "format", "--quiet", "--diff", "."],
    "types": [f"{BIN}/mypy", "--no-error-summary"],
    "imports": [f"{BIN}/lint-imports", "--no-logo"],
    "protos": [f"{BIN}/buf", "lint"],
    "proto format": [f"{BIN}/buf", "format", "--diff", "--exit-code"],
    "proto breaking": [f"{BIN}/buf", "breaking", "--against", "protos/baseline.binpb"],
    "generated": [sys.executable, str(TOOLS / "check_generated.py")],
    "sizes": [sys.executable, str(TOOLS / "check_sizes.py")],
    "texts": [sys.executable, str(TOOLS / "check_texts.py")],
}


def run(name: str, command: list[str]) -> bool:
    """Runs one check, shows its output if it fails, and says whether it passed."""
    began = time.monotonic()
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    passed = done.returncode == 0
    print(f"{'ok  ' if passed else 'FAIL'} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    if not passed:
        print(done.stdout.rstrip(), flush=True)
    return passed


def main(chosen: list[str]) -> int:
    """Runs the chosen checks, or all; returns the exit status."""
    if unknown := set(chosen) - set(CHECKS):
        print(f"no such check: {', '.join(sorted(unknown))}; there are {', '.join(CHECKS)}")
        return 2
    results = [run(name, CHECKS[name]) for name in chosen or CHECKS]
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
