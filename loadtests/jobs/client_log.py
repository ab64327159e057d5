"""Submitters that write down what they were promised, and go on whatever dies."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from loadtests.common.client import Answer, call, whole
from loadtests.common.stack import MODEL_NAME

PROMPTS = 40
OUTPUT_TOKENS = 6
# A gateway takes about two seconds to come back; nothing here waits for longer than that without a try.
RETRY_SECONDS = 0.2
TRIES_MAX = 600
_WORDS = (
    "river",
    "mill",
    "wheel",
    "stone",
    "grain",
    "water",
    "ferry",
    "bridge",
    "barge",
    "lock",
    "weir",
    "reed",
    "heron",
)


def chat(number: int) -> dict[str, Any]:
    """The body of request `number`: one of PROMPTS, and so of as many known answers."""
    at = number % PROMPTS
    words = " ".join(_WORDS[(at * 7 + step * (at + 1)) % len(_WORDS)] for step in range(6))
    length = {"max_tokens": OUTPUT_TOKENS, "min_tokens": OUTPUT_TOKENS, "ignore_eos": True}
    messages = [{"role": "user", "content": f"Note {at}: {words}."}]
    return {"model": MODEL_NAME, "messages": messages, "temperature": 0, **length}


@dataclass
class Promise:
    """A submission that was answered with 202: the job's id, and how often it had to be asked for."""

    number: int
    job: str
    tries: int


@dataclass
class ClientLog:
    """What the clients know. `refused` are answers that end a submission without a job: there should be none."""

    promises: dict[int, Promise] = field(default_factory=dict)
    refused: list[str] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    expected: dict[int, str] = field(default_factory=dict)


class Submitters:
    """Submit jobs of one request each, `parallel` at once, through any of the gateways at `ports`."""

    def __init__(self, ports: Sequence[int], secret: str, rng: random.Random, run: str, parallel: int = 8) -> None:
        self._ports, self._rng, self._run, self._parallel = ports, rng, run, parallel
        self._headers = {"authorization": f"Bearer {secret}"}
        self.log = ClientLog()

    async def learn(self) -> None:
        """What each prompt is answered with, asked live before anything is broken."""
        calls = (whole(self._ports[0], chat(number), self._headers) for number in range(PROMPTS))
        for number, answer in enumerate(await asyncio.gather(*calls)):
            if answer.status != 200:
                raise RuntimeError(f"a live call was answered with {answer.status}: {answer.body[:500]!r}")
            self.log.expected[number] = text_of(json.loads(answer.body))

    async def submit(self, numbers: Sequence[int], *, rate: float = 0.0) -> None:
        """All of them; at most `rate` a second, 0 = as fast as they are taken."""
        todo = iter(numbers)
        began, sent = time.monotonic(), 0

        async def one_after_another() -> None:
            nonlocal sent
            for number in todo:
                sent += 1
                if rate and (ahead := began + sent / rate - time.monotonic()) > 0:
                    await asyncio.sleep(ahead)
                await self._submit(number)

        await asyncio.gather(*(one_after_another() for _ in range(self._parallel)))

    async def _submit(self, number: int) -> None:
        headers = {**self._headers, "idempotency-key": f"{self._run}-{number}"}
        for tries in range(1, TRIES_MAX + 1):
            try:
                port = self._rng.choice(self._ports)
                answer = await asyncio.wait_for(call(port, "POST", "/v1/jobs", headers, chat(number)), 20)
            except OSError as lost:
                self.log.tries[type(lost).__name__] += 1
            else:
                self.log.tries[" ".join([str(answer.status), *filter(None, [(answer.error or {}).get("code")])])] += 1
                if answer.status == 202:
                    self.log.promises[number] = Promise(number, str(json.loads(answer.body)["id"]), tries)
                    return
                if answer.status < 500 and answer.status not in {409, 429}:
                    self.log.refused.append(f"{number}: {answer.status} {answer.body[:300]!r}")
                    return
            await asyncio.sleep(RETRY_SECONDS)
        self.log.refused.append(f"{number}: not taken after {TRIES_MAX} tries")

    async def job(self, job: str) -> dict[str, Any]:
        """A job as the API tells of it, whichever gateway answers."""
        for _ in range(TRIES_MAX):
            try:
                answer: Answer = await call(self._rng.choice(self._ports), "GET", f"/v1/jobs/{job}", self._headers)
            except OSError:
                answer = Answer()
            if answer.status in {200, 404}:
                return dict(json.loads(answer.body)) if answer.status == 200 else {"status": "unknown"}
            await asyncio.sleep(RETRY_SECONDS)
        return {"status": "unreachable"}


def text_of(completion: dict[str, Any]) -> str:
    """The answer's text."""
    return str(completion["choices"][0]["message"]["content"])


def tokens_of(completion: dict[str, Any]) -> int:
    """Prompt and answer: at the stack's prices, what it costs in nano-dollars."""
    return int(completion["usage"]["prompt_tokens"]) + int(completion["usage"]["completion_tokens"])
