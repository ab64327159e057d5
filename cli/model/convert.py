"""Runs the conversion in a process of its own and turns its bars into progress."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

from cli.errors import CliError

Progress = Callable[[str, float, float], None]

TASK = "convert model"
# The bars of the three stages, and the share of the whole at which each begins and ends: importing torch and
# transformers takes the first fifth, the tokenizer the last tenth.
STAGES = {
    "Converting and de-quantizing": (0.2, 0.6),
    "Loading weights": (0.6, 0.7),
    "Writing model shards": (0.7, 0.9),
}
_BAR = re.compile(r"(?P<stage>[A-Z][A-Za-z -]+?)(?: GGUF tensors\.\.\.)?:\s+(?P<percent>\d+)%\|")


def parse_bar(text: str) -> float | None:
    """Share of the whole conversion (0..1) that a piece of tqdm output stands for; None for other text."""
    bars = list(_BAR.finditer(text))
    if not bars or bars[-1]["stage"] not in STAGES:
        return None
    found = bars[-1]
    begin, end = STAGES[found["stage"]]
    return begin + (end - begin) * int(found["percent"]) / 100


def converter(source: Path, target: Path) -> tuple[str, ...]:
    """The program that does it."""
    return (sys.executable, "-m", "cli.model.gguf_to_safetensors", str(source), str(target))


async def convert(source: Path, target: Path, progress: Progress) -> None:
    """Converts `source` into the directory `target`. Raises CliError with the last lines when it fails."""
    progress(TASK, 0.0, 0.0)
    process = await asyncio.create_subprocess_exec(
        *converter(source, target),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TRANSFORMERS_VERBOSITY": "error"},
    )
    try:
        said = await _follow(process, progress)
        code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code:
        fix = "free memory (it needs about 1.5 GB) and disk, then try again"
        raise CliError("the bundled model cannot be converted:\n  " + "\n  ".join(said), fix)
    progress(TASK, 1.0, 1.0)


async def _follow(process: asyncio.subprocess.Process, progress: Progress) -> list[str]:
    said: deque[str] = deque(maxlen=8)
    while process.stderr is not None and (raw := await process.stderr.read(4096)):
        text = raw.decode(errors="replace")
        share = parse_bar(text)
        if share is not None:
            progress(TASK, share, 1.0)
        else:
            said.extend(line for line in text.splitlines() if line.strip())
    return list(said)
