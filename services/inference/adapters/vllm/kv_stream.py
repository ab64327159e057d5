"""Takes vLLM's KV events from its engine process, over sockets that only this user can reach.

vLLM publishes batches with ascending numbers, and repeats the last ones on request. The socket drops what is not read
in time; a gap is asked for again, and when it cannot be filled, everything is forgotten.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import structlog

from services.inference.adapters.vllm.engine_blocks import EngineBlocks, EventBatch, UnsupportedEventsError
from services.inference.ports import BlockSink

# Batches that vLLM keeps for repeating: each holds its tokens, 4 to 40 KB.
BATCHES_KEPT = 1000
_REPEAT_SECONDS = 5.0
# Of silence, until the engine is asked whether it has told more than came here.
_IDLE_SECONDS = 1.0
_END = (-1).to_bytes(8, "big", signed=True)


@dataclass(frozen=True, slots=True)
class KvEndpoints:
    """Where vLLM publishes, and where it repeats; ipc:// addresses."""

    events: str
    repeats: str


class KvStream:
    """One engine's events. Use: `open`, then start the engine, then `begin`; `close` at the end."""

    def __init__(self, sink: BlockSink) -> None:
        self._sink = sink
        self._directory: Path | None = None
        self._context: Any = None
        self._events: Any = None
        self._repeats: Any = None
        self._endpoints: KvEndpoints | None = None
        self._next = 0
        self._unmapped = False
        self._task: asyncio.Task[None] | None = None
        self._decode = msgspec.msgpack.Decoder(EventBatch).decode
        self._blocks = EngineBlocks(1, sink)

    @property
    def listens(self) -> bool:
        """It has begun and has not given up."""
        return self._task is not None and not self._task.done()

    def open(self) -> KvEndpoints:
        """Makes the directory (mode 700) that the sockets are in, and listens before there is anything to hear."""
        import zmq
        import zmq.asyncio

        self._directory = Path(tempfile.mkdtemp(prefix="headrace-kv-"))
        endpoints = KvEndpoints(f"ipc://{self._directory}/events", f"ipc://{self._directory}/repeats")
        self._context, self._endpoints = zmq.asyncio.Context(), endpoints
        self._events, self._repeats = self._connect(zmq.SUB, endpoints.events), self._ask_anew()
        self._events.subscribe(b"")
        return endpoints

    def _ask_anew(self) -> Any:
        """A socket for repeats that no answer to an earlier question comes to."""
        import zmq

        if self._repeats is not None:
            self._repeats.close()
        assert self._endpoints is not None  # noqa: S101 - open() came before
        return self._connect(zmq.DEALER, self._endpoints.repeats)

    def _connect(self, kind: int, address: str) -> Any:
        import zmq

        socket = self._context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(address)
        return socket

    async def begin(self, block_tokens: int) -> bool:
        """Takes all events from the engine's start on. False when there are none to be had: then nothing is told."""
        self._blocks = EngineBlocks(block_tokens, self._sink)
        try:
            if not await self._fill():
                self._log("the engine does not answer on its socket of KV events")
                return False
        except (UnsupportedEventsError, msgspec.DecodeError) as error:
            self._give_up(error)
            return False
        self._task = asyncio.create_task(self._run(), name="kv-events")
        return True

    async def close(self) -> None:
        """Stops listening and removes the sockets. A repeat does nothing."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = None
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    async def _run(self) -> None:
        try:
            while True:
                if await self._events.poll(1000 * _IDLE_SECONDS):
                    _, number, payload = await self._events.recv_multipart()
                    await self._take(int.from_bytes(number, "big"), payload)
                else:
                    # Of a batch that was lost, only the next one tells, and that may be long in coming.
                    await self._fill()
        except Exception as error:  # a cache that nobody knows costs a prefill; a wrong one would cost many
            self._give_up(error)

    async def _take(self, number: int, payload: bytes) -> None:
        if number > self._next:
            await self._fill()
        self._apply(number, payload)

    async def _fill(self) -> bool:
        """Has the engine repeat what it has from the next batch on. False: it did not answer in time."""
        await self._repeats.send_multipart([b"", self._next.to_bytes(8, "big")])
        with suppress(TimeoutError):
            async with asyncio.timeout(_REPEAT_SECONDS):
                async for number, payload in self._repeated():
                    self._apply(number, payload)
                return True
        # What it says later would be taken for the answer to the next question.
        self._repeats = self._ask_anew()
        return False

    def _apply(self, number: int, payload: bytes) -> None:
        """Applies a batch whose turn it is; one from before is known already, one from later means a loss."""
        if number < self._next:
            return
        if number > self._next:
            self._log(f"batches {self._next} to {number - 1} of the engine's KV events are lost")
            self._blocks.forget()
        self._next = number + 1
        self._blocks.apply(self._decode(payload).events)
        if self._blocks.unmapped and not self._unmapped:
            self._unmapped = True
            self._log("some blocks have no name here: images or embeddings, or what they hang on is not known")

    async def _repeated(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            *_, number, payload = await self._repeats.recv_multipart()
            if number == _END:
                return
            yield int.from_bytes(number, "big"), payload

    def _give_up(self, error: Exception) -> None:
        self._blocks.forget()
        self._log(f"{type(error).__name__}: {error}; watchers hear of no blocks until this worker starts again")

    def _log(self, why: str) -> None:
        structlog.get_logger(__name__).warning("kv_events_lost", why=why)
