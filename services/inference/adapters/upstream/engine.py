"""The MessageEngine over an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager

import httpx

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.inference.adapters.upstream.body import chat_body
from services.inference.adapters.upstream.errors import refusal
from services.inference.adapters.upstream.events import Events, Lines
from services.inference.adapters.upstream.settings import UpstreamSettings
from services.inference.domain.model import Capabilities, Capacity, EngineLoad
from services.inference.domain.request import MessagesWork
from services.inference.ports import MessageDelta

_REFUSAL_BYTES_MAX = 64 * 1024
_END_SECONDS = 0.1


class UpstreamEngine:
    """See MessageEngine. `key` is the endpoint's API key, "" = none."""

    def __init__(self, settings: UpstreamSettings, model: str, key: str, clock: Clock) -> None:
        self._settings, self._model, self._clock = settings, settings.model or model, clock
        self._client = httpx.AsyncClient(
            base_url=settings.url.rstrip("/") + "/",
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(settings.idle_seconds, connect=settings.connect_seconds),
            limits=httpx.Limits(max_connections=settings.running_max, max_keepalive_connections=settings.running_max),
            trust_env=False,
        )
        self._running = 0
        self._reachable = True
        self._probe: asyncio.Task[None] | None = None

    async def start(self) -> tuple[Capabilities, Capacity]:
        """See MessageEngine. Asks for the list of models; any answer but a refusal of the key will do.

        Raises PlatformError(UPSTREAM_ERROR).
        """
        try:
            response = await self._client.get("models")
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        if response.status_code in {401, 403}:
            raise refusal(response.status_code, response.headers, b"", self._clock.unix())
        return self._capabilities(), Capacity(0, 0, self._settings.running_max, 0, 0, 0)

    async def generate(self, work: MessagesWork) -> AsyncGenerator[MessageDelta, None]:
        """See MessageEngine."""
        if self._running >= self._settings.running_max:
            raise PlatformError(
                Reason.OVERLOADED, "this worker has its full number of upstream calls: try later", 1.0, started=False
            )
        self._running += 1
        try:
            async with self._response(work) as response, aclosing(self._deltas(response)) as deltas:
                async for delta in deltas:
                    yield delta
        finally:
            self._running -= 1

    def load(self) -> EngineLoad:
        """See MessageEngine. Unhealthy after a failed connection, until one succeeds."""
        return EngineLoad(self._running, 0, 0.0, self._reachable)

    async def close(self) -> None:
        """See MessageEngine."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._client.aclose()

    @asynccontextmanager
    async def _response(self, work: MessagesWork) -> AsyncIterator[httpx.Response]:
        body = chat_body(work, self._model, self._settings.max_tokens_field)
        request = self._client.build_request("POST", "chat/completions", json=body)
        try:
            response = await self._client.send(request, stream=True)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from error
        self._reachable = True
        try:
            if response.status_code != 200:
                raise refusal(response.status_code, response.headers, await _start_of(response), self._clock.unix())
            yield response
        finally:
            await response.aclose()

    async def _deltas(self, response: httpx.Response) -> AsyncGenerator[MessageDelta, None]:
        lines, events = Lines(self._settings.line_bytes_max), Events()
        try:
            async with aclosing(response.aiter_bytes()) as parts:  # type: ignore[type-var]
                async for data in parts:
                    for line in lines.feed(data):
                        for delta in events.feed(line):
                            yield delta
                    if events.done:
                        await _read_on(parts)
                        return
        except httpx.HTTPError as error:
            raise PlatformError(
                Reason.UPSTREAM_ERROR, f"the upstream endpoint broke off its answer ({type(error).__name__})"
            ) from error
        if not events.finished:
            raise PlatformError(Reason.UPSTREAM_ERROR, "the upstream endpoint ended its answer without finishing it")

    def _unreachable(self, error: httpx.HTTPError) -> PlatformError:
        began = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
        # A slow answer is no sign of death, a refused connection is.
        if not began:
            self._lost()
        return PlatformError(
            Reason.UPSTREAM_ERROR,
            f"the upstream endpoint cannot be reached ({type(error).__name__}): check upstream.url, or try later",
            started=began,
        )

    def _lost(self) -> None:
        """Out of service until the endpoint answers again: routers send nothing meanwhile, so somebody has to ask."""
        self._reachable = False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._ask_again(), name="upstream-probe")

    async def _ask_again(self) -> None:
        while not self._reachable:
            await self._clock.sleep(self._settings.probe_seconds)
            with contextlib.suppress(httpx.HTTPError):
                await self._client.get("models")
                self._reachable = True

    def _capabilities(self) -> Capabilities:
        settings = self._settings
        return Capabilities(
            tokens_in=False,
            guided=settings.guided,
            n=settings.n,
            seed=settings.seed,
            tools=settings.tools,
            reasoning=True,
            penalties=settings.penalties,
            logit_bias=settings.logit_bias,
        )


async def _read_on(parts: AsyncIterator[bytes]) -> None:
    """Reads the end of a body whose content is complete: only then is its connection kept for the next call."""
    with contextlib.suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(_END_SECONDS):
            async for _ in parts:
                pass


async def _start_of(response: httpx.Response) -> bytes:
    body = b""
    async with aclosing(response.aiter_bytes()) as parts:  # type: ignore[type-var]
        async for data in parts:
            body += data
            if len(body) > _REFUSAL_BYTES_MAX:
                break
    return body
