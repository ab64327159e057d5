"""The one way to Valkey (or Redis): a client that never makes a request wait for a dead store.

Two states. *Up*: a pipeline has `op_timeout_ms` in all, connect included, and is never retried.
The first failure turns it *down*: commands are refused at once, while one background task pings the store (at once,
then with growing pauses) and turns it up again. The caller decides what a missing store means.
"""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from libs.clock import Clock, SystemClock
from libs.errors import PlatformError, Reason

PROBE_PAUSE_SECONDS_MAX = 1.0
PROBE_PAUSE_SECONDS_FIRST = 0.05


class ValkeySettings(BaseModel):
    """How the store is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # redis://host:port/db, rediss:// with TLS, or unix:///path. Credentials belong into a mounted file, not into flags.
    url: str = "redis://127.0.0.1:8121"
    # Bounds the background probe, which pays the connect. Low: a store that needs longer is no help to a request.
    connect_timeout_ms: int = Field(default=200, ge=1, le=10_000)
    # Bounds what a request can lose to the store. Under 5 a busy event loop looks like a dead store.
    op_timeout_ms: int = Field(default=50, ge=5, le=10_000)


@dataclass(frozen=True)
class FunctionLibrary:
    """Lua functions kept in the store. `source` is a body in which `@library@` stands for the versioned name.

    The version is a hash of the source, so that old and new replicas run side by side, each with its own functions.
    """

    name: str
    source: str

    @cached_property
    def versioned(self) -> str:
        """Name in the store, e.g. "headrace_bindings_1f3a9c0d"."""
        return f"headrace_{self.name}_{hashlib.sha256(self.source.encode()).hexdigest()[:8]}"

    @cached_property
    def code(self) -> str:
        """What FUNCTION LOAD takes."""
        return f"#!lua name={self.versioned}\n" + self.source.replace("@library@", self.versioned)


class Valkey:
    """A pipelining client: what is asked in one event-loop tick, or while a pipeline is under way, travels together.

    Methods raise PlatformError(STORE_UNAVAILABLE, started=False) when the store is down, and redis' ResponseError when
    the command itself is wrong. After a timeout a command may have happened: commands must be safe to repeat.
    """

    def __init__(self, settings: ValkeySettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._up = True
        self._probe: asyncio.Task[None] | None = None
        self._sender: asyncio.Task[None] | None = None
        self._pending: list[tuple[tuple[Any, ...], asyncio.Future[Any]]] = []
        self._client: Redis = Redis.from_url(
            settings.url,
            protocol=2,
            decode_responses=False,
            socket_connect_timeout=settings.connect_timeout_ms / 1000,
            socket_timeout=(settings.op_timeout_ms + settings.connect_timeout_ms) / 1000,
            retry=Retry(NoBackoff(), 0),
            maint_notifications_config=MaintNotificationsConfig(enabled=False),
        )

    @property
    def up(self) -> bool:
        """False from the first failure until the store has answered a ping again."""
        return self._up

    async def ready(self) -> bool:
        """Pings once, whatever the state, and opens the connection: for start-up and readiness. Never raises."""
        if await self._ping():
            self._up = True
        else:
            self._fell()
        return self._up

    async def command(self, *args: Any) -> Any:
        """The reply to one command, as redis-py gives it, e.g. `command("HGET", key, "worker")`; strings are bytes."""
        if not self._up:
            raise self._unavailable("it failed a moment ago")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._pending.append((args, future))
        if self._sender is None or self._sender.done():
            self._sender = asyncio.get_running_loop().create_task(self._send_pending(), name="valkey-sender")
        return await future

    async def call(self, library: FunctionLibrary, function: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs `function` of `library`, loading the library when the store does not have it (new, or emptied)."""
        name = f"{library.versioned}_{function}"

        try:
            return await self.command("FCALL", name, len(keys), *keys, *args)
        except ResponseError as error:
            if "Function not found" not in str(error):
                raise
        await self._load(library)
        return await self.command("FCALL", name, len(keys), *keys, *args)

    async def close(self) -> None:
        """Fails what waits, ends the probe and closes the connections. A repeat does nothing."""
        tasks = [task for task in (self._probe, self._sender) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._probe = self._sender = None
        self._fail_pending(self._unavailable("this process is closing"))
        await self._client.aclose()

    async def _load(self, library: FunctionLibrary) -> None:
        try:
            await self.command("FUNCTION", "LOAD", library.code)
        except ResponseError as error:
            if "already exists" not in str(error):  # another replica was faster
                raise

    async def _send_pending(self) -> None:
        while self._pending:
            batch, self._pending = self._pending, []
            try:
                async with asyncio.timeout(self._settings.op_timeout_ms / 1000):
                    replies = await self._exchange([args for args, _ in batch])
            except (OSError, RedisError, asyncio.CancelledError) as error:  # asyncio's TimeoutError is an OSError
                lost = self._unavailable(f"{type(error).__name__} {error}".strip())
                self._pending = batch + self._pending
                self._fail_pending(lost)
                if isinstance(error, asyncio.CancelledError):
                    raise
                self._fell()
                return
            self._deliver(batch, replies)

    async def _exchange(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        async with self._client.pipeline(transaction=False) as pipeline:
            for args in commands:
                pipeline.execute_command(*args)
            return await pipeline.execute(raise_on_error=False)  # type: ignore[no-any-return]

    def _deliver(self, batch: list[tuple[tuple[Any, ...], asyncio.Future[Any]]], replies: list[Any]) -> None:
        for (_, future), reply in zip(batch, replies, strict=True):
            if future.done():  # the caller has gone
                continue
            if not isinstance(reply, Exception):
                future.set_result(reply)
            elif is_command_error(reply):
                future.set_exception(reply)
            else:
                future.set_exception(self._unavailable(str(reply)))
                self._fell()

    def _fail_pending(self, error: PlatformError) -> None:
        pending, self._pending = self._pending, []
        for _, future in pending:
            if not future.done():
                future.set_exception(dataclasses.replace(error))

    async def _ping(self) -> bool:
        # Own connect budget: a probe must succeed where connecting alone takes longer than an operation may.
        limit = (self._settings.connect_timeout_ms + self._settings.op_timeout_ms) / 1000
        try:
            async with asyncio.timeout(limit):
                await self._client.ping()
        except (OSError, RedisError):
            return False
        return True

    def _fell(self) -> None:
        self._up = False
        if self._probe is None or self._probe.done():
            self._probe = asyncio.get_running_loop().create_task(self._probe_until_up(), name="valkey-probe")

    async def _probe_until_up(self) -> None:
        pause = PROBE_PAUSE_SECONDS_FIRST
        while not await self._ping():
            await self._clock.sleep(pause)
            pause = min(pause * 2, PROBE_PAUSE_SECONDS_MAX)
        self._up = True

    def _unavailable(self, why: str) -> PlatformError:
        message = f"The store (Valkey) does not answer: {why}. Check that it runs at the configured valkey.url; retry."
        return PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)


def is_command_error(error: Exception) -> bool:
    """Whether the store is well and the command itself was wrong (then failing over would hide a defect).

    Codes with which a store says that *it* cannot serve (loading, read-only, out of memory, broken AOF) are not.
    """
    store_trouble = ("LOADING", "READONLY", "OOM", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "TRYAGAIN")
    return type(error) is ResponseError and not str(error).startswith(store_trouble)
