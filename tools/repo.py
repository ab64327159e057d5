"""What the checks look at: the files that git has or would add."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARY = {".png", ".ico", ".woff2", ".onnx", ".npz", ".binpb", ".gguf", ".safetensors"}


def files(root: Path = ROOT) -> list[Path]:
    """Committed and new files, relative to `root`, without ignored ones."""
    command = ("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z")
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")
    return sorted({Path(name) for name in names if name and (root / name).is_file()})


def texts(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Text files with what they hold."""
    for path in files(root):
        if path.suffix in BINARY:
            continue
        try:
            yield path, (root / path).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
