"""Prompts in files of JSON Lines: one object a line, as datasets, exports of requests and API bodies have them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cli.errors import CliError

_SHAPE = 'a line is {"prompt": "…"}, a record with its texts, or {"messages": [{"role": "user", "content": "…"}]}'


@contextmanager
def opened(path: str) -> Iterator[Iterable[bytes]]:
    """Lines of a file, or of standard input for "-"; raises CliError when it cannot be opened."""
    if path == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(path).open("rb")  # noqa: SIM115 -- closed below: errors of the body are not those of opening
    except OSError as problem:
        raise CliError(
            f"{path} cannot be read: {problem.strerror}", "name a file, or - for standard input", 2
        ) from problem
    with file:
        yield file


def prompts(lines: Iterable[bytes], name: str) -> Iterator[str]:
    """The prompt of each line, in order, as it is read; empty lines are passed over.

    Raises CliError with the line's number at the first line that holds none.
    """
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            document = json.loads(line)
        except ValueError as problem:
            raise CliError(f"{name}, line {number} is not JSON: {problem}", _SHAPE, code=2) from problem
        prompt = _prompt(document)
        if prompt is None:
            raise CliError(f"{name}, line {number} has no prompt", _SHAPE, code=2)
        yield prompt


def _prompt(document: Any) -> str | None:
    """Of a conversation its newest user message."""
    if not isinstance(document, dict):
        return None
    given = document.get("prompt", document.get("messages"))
    if isinstance(given, str):
        return given
    turns = given if isinstance(given, list) else []
    spoken = [turn for turn in turns if isinstance(turn, dict) and turn.get("role") == "user"]
    return _text(spoken[-1].get("text", spoken[-1].get("content"))) if spoken else None


def _text(content: Any) -> str | None:
    if isinstance(content, list):  # OpenAI's parts; those that are no text say nothing here
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        return "\n".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None
