"""What a converted model directory must hold: a manifest of checksums, written last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = "headrace-model.json"
CHUNK_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Manifest:
    """Where the model came from and the SHA-256 of each file. `recipe` rises when the conversion changes."""

    source_sha256: str
    recipe: int
    files: dict[str, str]


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def seal(directory: Path, source_sha256: str, recipe: int) -> None:
    """Writes the manifest of what is in `directory` now."""
    files = {path.name: sha256_of(path) for path in sorted(directory.iterdir()) if path.name != NAME}
    text = json.dumps(asdict(Manifest(source_sha256, recipe, files)), indent=1)
    (directory / NAME).write_text(text + "\n", encoding="utf-8")


def fault(directory: Path, source_sha256: str, recipe: int) -> str:
    """What is wrong with the directory; empty when it is whole and made from this source by this recipe."""
    if not directory.exists():
        return "it is not there"
    try:
        manifest = Manifest(**json.loads((directory / NAME).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return f"{NAME} is missing, so the conversion did not finish"
    except (OSError, ValueError, TypeError) as problem:
        return f"{NAME} cannot be read ({problem})"
    if (manifest.source_sha256, manifest.recipe) != (source_sha256, recipe):
        return "it was made from another file or by another version of the conversion"
    return _first_wrong_file(directory, manifest)


def _first_wrong_file(directory: Path, manifest: Manifest) -> str:
    for name, digest in manifest.files.items():
        path = directory / name
        if not path.is_file():
            return f"{name} is missing"
        if sha256_of(path) != digest:
            return f"the checksum of {name} is wrong"
    return "" if "model.safetensors" in manifest.files else "it holds no weights"
