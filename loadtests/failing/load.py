"""An open loop of chat calls: one every so often, whatever becomes of those before."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from loadtests.common.client import Answer, stream, whole
from loadtests.common.report import quantile
from loadtests.common.stack import MODEL_NAME, Stack


@dataclass
class Shot:
    """One call: when it was due and when its answer was over, `time.monotonic` seconds."""

    due: float
    over: float = 0.0
    answer: Answer = field(default_factory=Answer)
    broke: bool = False

    @property
    def good(self) -> bool:
        """It has a whole answer."""
        return not self.broke and self.answer.status == 200 and self.answer.error is None

    @property
    def meta(self) -> dict[str, Any]:
        """The answer's `headrace` object."""
        return dict(self.answer.usage.get("headrace") or {})


class Generator:
    """Sends `rate` calls a second from `start` to `stop`."""

    def __init__(self, stack: Stack, rate: float, *, tokens: int, streamed: bool) -> None:
        self._stack, self._rate, self._tokens, self._streamed = stack, rate, tokens, streamed
        self.shots: list[Shot] = []
        self._open: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins."""
        self._task = asyncio.create_task(self._keep())

    async def stop(self, seconds: float = 20.0) -> None:
        """Sends no more, and waits for the answers that are still out."""
        if self._task is not None:
            self._task.cancel()
        if self._open:
            await asyncio.wait(self._open, timeout=seconds)

    async def _keep(self) -> None:
        due = time.monotonic()
        while True:
            due += 1 / self._rate
            if (left := due - time.monotonic()) > 0:
                await asyncio.sleep(left)
            shot = Shot(due)
            self.shots.append(shot)
            task = asyncio.create_task(self._shoot(shot, len(self.shots)))
            self._open.add(task)
            task.add_done_callback(self._open.discard)

    async def _shoot(self, shot: Shot, number: int) -> None:
        body = {
            "model": MODEL_NAME,
            "messages": [{"role": "user", "content": f"Call {number}: say that all is well."}],
            "max_tokens": self._tokens,
        }
        headers = {"authorization": f"Bearer {self._stack.key}"}
        try:
            ask = stream if self._streamed else whole
            await ask(self._stack.rest_port, body, headers, into=shot.answer)
        except OSError:
            shot.broke = True
        shot.over = time.monotonic()

    def between(self, begin: float, end: float) -> list[Shot]:
        """Calls that were due in that time and are over."""
        return [shot for shot in self.shots if begin <= shot.due < end and shot.over]


def summary(shots: list[Shot]) -> dict[str, Any]:
    """What became of some calls."""
    refused = [shot for shot in shots if shot.answer.status == 503]
    waits = [1000 * (shot.over - shot.answer.sent) for shot in refused]
    return {
        "requests": len(shots),
        "answered": sum(shot.good for shot in shots),
        "503": len(refused),
        "503_ms": {"p50": quantile(waits, 0.5), "p99": quantile(waits, 0.99), "max": quantile(waits, 1.0)},
        "retry_after_missing": sum("retry-after" not in shot.answer.headers for shot in refused),
        "other": sum(not shot.good and shot.answer.status != 503 for shot in shots),
        "other_kinds": sorted({_kind(shot) for shot in shots if not shot.good and shot.answer.status != 503})[:8],
    }


def _kind(shot: Shot) -> str:
    if shot.broke:
        return "broken connection"
    error = shot.answer.error or {}
    return f"{shot.answer.status} {error.get('code') or error.get('message', '')}"


class Metrics:
    """A gateway's counters, read over its metrics port."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def text(self) -> str:
        """All of them, as they are exposed."""
        with urllib.request.urlopen(self._url, timeout=2) as answer:
            return str(answer.read().decode())

    def series(self, name: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of all series of that name."""
        lines = [line for line in self.text().splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return [(dict(re.findall(r'(\w+)="([^"]*)"', line)), float(line.rsplit(" ", 1)[1])) for line in lines]

    def total(self, name: str) -> float:
        """The sum over all series of that name."""
        return sum(value for _, value in self.series(name))

    def transitions(self) -> dict[str, int]:
        """How often breakers have opened, by cause."""
        found: dict[str, int] = {}
        for labels, value in self.series("headrace_gateway_breaker_transitions_total"):
            if labels["state"] == "open":
                found[labels["cause"]] = found.get(labels["cause"], 0) + int(value)
        return found

    def open_breakers(self) -> set[str]:
        """Workers whose breaker is open."""
        return {labels["worker"] for labels, value in self.series("headrace_gateway_breaker_state") if value == 2}


def dumps(found: dict[str, Any]) -> str:
    """For progress on the terminal."""
    return json.dumps(found, separators=(",", ":"))
