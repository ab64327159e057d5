"""protos/gen must be what protoc makes of protos/headrace."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from repo import ROOT


def generate(root: Path, into: Path) -> None:
    """Runs protoc; raises CalledProcessError when a proto does not compile."""
    sources = sorted(str(path.relative_to(root / "protos")) for path in (root / "protos/headrace").rglob("*.proto"))
    flags = ("-Iprotos", f"--python_out={into}", f"--pyi_out={into}")
    subprocess.run([sys.executable, "-m", "grpc_tools.protoc", *flags, *sources], cwd=root, check=True)


def generated(folder: Path) -> dict[Path, bytes]:
    """Relative path → content."""
    found = (path for path in folder.rglob("*_pb2*.py*") if path.suffix in (".py", ".pyi"))
    return {path.relative_to(folder): path.read_bytes() for path in found}


def find_problems(root: Path = ROOT) -> list[str]:
    """Files that are stale, missing or left over."""
    with tempfile.TemporaryDirectory() as made:
        generate(root, Path(made))
        fresh = generated(Path(made))
    committed = generated(root / "protos/gen")
    wrong = sorted(path for path in fresh.keys() | committed.keys() if fresh.get(path) != committed.get(path))
    return [f"protos/gen/{path}: is not what the protos say; run `make gen`" for path in wrong]


if __name__ == "__main__":
    found = find_problems()
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
