"""One streamed answer on its way to the client: headers, chunks, pings, and the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from services.gateway.api.connection import Connection
from services.gateway.api.gone import stopping
from services.gateway.api.headers import early_headers, started_headers
from services.gateway.domain.ledger.types import Standing
from services.gateway.events import Ended, Event, Started
from services.gateway.wire.openai_chat_stream import PING, ChatStream, error_event
from services.gateway.wire.openai_errors import cut_short

Send = Callable[[dict[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """Seconds: how long headers wait for the first delta, silence until a ping, and a client that does not read."""

    header_hold: float = 5.0
    ping: float = 5.0
    write_stall: float = 5.0


class StreamedAnswer:
    """Writes the pipeline's events as they come: one socket write for all that is ready.

    `failure` is why the answer ended badly after its headers were sent, None while all is well.
    """

    __slots__ = (
        "_connection",
        "_early",
        "_replayed",
        "_request_id",
        "_seen",
        "_seen_at",
        "_send",
        "_sending",
        "_sends",
        "_side",
        "_standing",
        "_stream",
        "_times",
        "committed",
        "failure",
    )

    def __init__(
        self,
        send: Send,
        connection: Connection,
        stream: ChatStream,
        *,
        request_id: str,
        session: tuple[str, str],
        times: StreamTimes,
        now: float,
        replayed: bool = False,
    ) -> None:
        self._send = send
        self._connection = connection
        self._stream = stream
        self._request_id = request_id
        self._early = session
        self._replayed = replayed
        self._times = times
        self._seen_at = now
        self._seen = self._sends = 0
        self._sending = False
        self._side: asyncio.Task[None] | None = None
        self._standing: Standing | None = None
        self.committed = False
        self.failure: PlatformError | None = None

    @property
    def writes(self) -> int:
        """Socket writes so far."""
        return self._sends

    def held(self, standing: Standing) -> None:
        """What is left of the caller's limits, for headers that cannot wait for the first delta."""
        self._standing = standing

    async def run(self, events: AsyncGenerator[list[Event], None]) -> None:
        """Sends the whole answer; on an error, `break_off` says what the client gets."""
        ended = False
        async for batch in events:
            chunk = self._stream.render(batch)
            ended = type(batch[-1]) is Ended
            if not self.committed:
                await self._begin(_headers_of(batch, self._request_id), chunk, last=ended)
            elif chunk:
                await self._write(chunk, last=ended)
        if not ended:
            raise cut_short()

    def write_now(self, response: GenerateResponse, text: str) -> bool:
        """Writes a delta past `run`, which waits; False when `run` must write it, in its turn or in another form."""
        if self._side is not None or self._sending:
            return False
        chunk = self._stream.plain(response, text)
        if chunk is None or (chunk and not self._connection.try_write(chunk)):
            return False
        self._sends += bool(chunk)  # text that is held back is silence to the client, and may need a ping
        return True

    async def break_off(self, error: PlatformError | asyncio.CancelledError) -> None:
        """Ends a stream that has begun with an error event; raises the error again where nothing has been sent."""
        if not self.committed or self._connection.lost:
            raise error
        problem = error if isinstance(error, PlatformError) else stopping()
        self.failure = self.failure or problem
        await self._write(error_event(problem), last=True)

    def look(self, now: float) -> None:
        """What time alone brings about; see `Watched`."""
        if self._sends != self._seen:
            self._seen, self._seen_at = self._sends, now
            return
        silent = now - self._seen_at
        if self._sending or (self._side is not None and not self._side.done()):
            if silent >= self._times.write_stall:
                self._cut()
        elif not self.committed:
            if silent >= self._times.header_hold:
                self._aside(early_headers(self._request_id, *self._early, self._standing, replayed=self._replayed))
        elif silent >= self._times.ping:
            self._aside(None)

    def _cut(self) -> None:
        self.failure = PlatformError(Reason.SLOW_READER, "The client did not read its answer in time and was cut.")
        self._connection.abort()

    def _aside(self, headers: Headers | None) -> None:
        """Commits early, or pings, beside the task that waits for the pipeline."""
        self.committed = True
        self._sends += 1
        self._side = asyncio.get_running_loop().create_task(self._speak(headers))

    async def _speak(self, headers: Headers | None) -> None:
        if headers is not None:
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})

    async def _begin(self, headers: Headers, chunk: bytes, *, last: bool) -> None:
        self.committed = True
        self._sends += 1
        if chunk and self._connection.try_begin(headers, chunk, last=last):
            return
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})
        if chunk:
            await self._write(chunk, last=last)

    async def _write(self, chunk: bytes, *, last: bool = False) -> None:
        if self._side is not None:
            await self._side
            self._side = None
        self._sends += 1
        if chunk and (self._connection.try_end(chunk) if last else self._connection.try_write(chunk)):
            return
        self._sending = True
        await self._send({"type": "http.response.body", "body": chunk, "more_body": not last})
        self._sending = False


def _headers_of(batch: list[Event], request_id: str) -> Headers:
    for event in batch:
        if type(event) is Started:
            return started_headers(event)
    return early_headers(request_id, "", "")
