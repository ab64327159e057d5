"""Requests of a job in files of JSON Lines: OpenAI's batch lines, bodies of chat calls, or prompts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from cli.errors import CliError

ENDPOINT = "/v1/chat/completions"
SHAPES = (
    'a line is {"prompt": "…"}, a chat body {"messages": […]}, or {"custom_id": "…", "method": "POST", '
    f'"url": "{ENDPOINT}", "body": {{…}}}}'
)


@dataclass(frozen=True, slots=True)
class JobLine:
    """One request; `number` counts the file's lines from 1, `custom_id` is "" where the line gives none."""

    number: int
    custom_id: str
    body: dict[str, Any]

    def request(self) -> dict[str, Any]:
        """As `POST /v1/jobs` takes it."""
        named = {"custom_id": self.custom_id} if self.custom_id else {}
        return named | {"url": ENDPOINT, "body": self.body}

    def batch_line(self) -> bytes:
        """As a line of an OpenAI batch file, where every request needs a name."""
        name = self.custom_id or f"line-{self.number}"
        line = {"custom_id": name, "method": "POST", "url": ENDPOINT, "body": self.body}
        return json.dumps(line, ensure_ascii=False).encode() + b"\n"


def job_lines(lines: Iterable[bytes], name: str, model: str) -> Iterator[JobLine]:
    """The requests in order, as they are read; empty lines are passed over. `model` is for those that name none.

    Raises CliError with the line's number at the first that holds no request, or a custom_id that was there before.
    """
    seen: dict[str, int] = {}
    for number, raw in enumerate(lines, 1):
        if not raw.strip():
            continue
        line = _line(raw, number, f"{name}, line {number}", model)
        if line.custom_id and (before := seen.setdefault(line.custom_id, number)) != number:
            said = f"{name}, line {number} has the custom_id {line.custom_id!r} of line {before}"
            raise CliError(said, "give each line its own, or none", code=2)
        yield line


def _line(raw: bytes, number: int, where: str, model: str) -> JobLine:
    try:
        document = json.loads(raw)
    except ValueError as problem:
        raise CliError(f"{where} is not JSON: {problem}", SHAPES, code=2) from problem
    if not isinstance(document, dict):
        raise CliError(f"{where} is no JSON object", SHAPES, code=2)
    custom_id = document.pop("custom_id", None) or ""
    if not isinstance(custom_id, str):
        raise CliError(f"{where}: custom_id is no text", SHAPES, code=2)
    return JobLine(number, custom_id, {"model": model} | _body(document, where))


def _body(document: dict[str, Any], where: str) -> dict[str, Any]:
    if "body" in document:
        return _enveloped(document, where)
    if "prompt" in document:
        prompt = document.pop("prompt")
        if not isinstance(prompt, str):
            raise CliError(f"{where}: prompt is no text", SHAPES, code=2)
        return document | {"messages": [{"role": "user", "content": prompt}]}
    if not isinstance(document.get("messages"), list):
        raise CliError(f"{where} holds no request", SHAPES, code=2)
    return document


def _enveloped(document: dict[str, Any], where: str) -> dict[str, Any]:
    url, method, body = document.get("url", ENDPOINT), document.get("method", "POST"), document["body"]
    if url != ENDPOINT or method != "POST":
        raise CliError(f"{where} asks for {method} {url}", f"jobs do POST {ENDPOINT}", code=2)
    if not isinstance(body, dict):
        raise CliError(f"{where}: body is no JSON object", SHAPES, code=2)
    return body
