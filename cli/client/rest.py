"""Chat over REST, as any OpenAI client would."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Self

import httpx

from cli.client.answer import Answer, Question
from cli.client.refusal import NOT_RUNNING, refused
from cli.errors import CliError

# The first token may wait for a whole model to warm up; nothing else takes so long.
SILENCE_SECONDS_MAX = 120.0

OnText = Callable[[str], None]


class RestClient:
    """Calls one gateway; an async context manager."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        timeout = httpx.Timeout(SILENCE_SECONDS_MAX, connect=5.0)
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=timeout, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def chat(self, question: Question, on_text: OnText, on_worker: OnText | None = None) -> Answer:
        """Streams an answer; `on_worker` hears as soon as the headers say who answers. Raises CliError in words."""
        begun, answer = time.perf_counter(), Answer()
        headers = {"x-session-id": question.session} if question.session else {}
        try:
            request = self._http.stream("POST", "/v1/chat/completions", json=_body(question), headers=headers)
            async with request as response:
                if response.status_code != httpx.codes.OK:
                    raise refused(response.status_code, await response.aread())
                answer.worker = response.headers.get("x-headrace-worker", "")
                answer.request_id = response.headers.get("x-request-id", "")
                answer.route = response.headers.get("x-headrace-route", "")
                answer.session = response.headers.get("x-session-id", question.session)
                if on_worker is not None:
                    on_worker(answer.worker)
                async for chunk in _events(response):
                    _take(chunk, answer, on_text, begun)
        except httpx.HTTPError as problem:
            raise CliError(f"no answer from {self._http.base_url}: {problem!r}", NOT_RUNNING) from problem
        answer.total_ms = (time.perf_counter() - begun) * 1000
        return answer

    async def get(self, path: str) -> Any:
        """The JSON document at `path`. Raises CliError."""
        try:
            response = await self._http.get(path)
        except httpx.HTTPError as problem:
            raise CliError(f"no answer from {self._http.base_url}: {problem!r}", NOT_RUNNING) from problem
        if response.status_code != httpx.codes.OK:
            raise refused(response.status_code, response.content)
        return response.json()


def _body(question: Question) -> dict[str, object]:
    body: dict[str, object] = {
        "model": question.model,
        "messages": list(question.messages),
        "max_tokens": question.max_tokens,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if question.temperature is not None:
        body["temperature"] = question.temperature
    return body | question.extra


async def _events(response: httpx.Response) -> AsyncIterator[dict[str, Any]]:
    """The chunks; a stream that ends without [DONE] was cut and is an error."""
    whole = False
    async for line in response.aiter_lines():
        if line == "data: [DONE]":
            whole = True
        elif line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))
    if not whole:
        raise CliError("the stream ended without [DONE]: the gateway was lost in the middle", NOT_RUNNING)


def _take(chunk: dict[str, Any], answer: Answer, on_text: OnText, begun: float) -> None:
    if "error" in chunk:
        raise CliError(f"the answer broke off: {chunk['error']['message']}", "ask again")
    for choice in chunk["choices"]:
        text = choice["delta"].get("content") or ""
        if text:
            answer.ttft_ms = answer.ttft_ms or (time.perf_counter() - begun) * 1000
            answer.text += text
            on_text(text)
        answer.finish = choice["finish_reason"] or answer.finish
    if usage := chunk.get("usage"):
        answer.prompt_tokens, answer.completion_tokens = usage["prompt_tokens"], usage["completion_tokens"]
    if report := chunk.get("headrace"):
        answer.worker, answer.cached_tokens = report["worker"], report["cached_tokens"]
        answer.attempts, answer.resumed = report["attempts"], report["resumed"]
        # A gateway of an earlier version says nothing of money.
        answer.cost_usd, answer.truncated = report.get("cost_usd", "0"), report.get("truncated") or ""
