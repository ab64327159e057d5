"""The one way to Valkey (or Redis): a client that never makes a request wait for a dead store.

Two states. *Up*: a command has `op_timeout_ms` in all and is never retried. The first failure turns it *down*: commands
are refused at once, while one background task connects anew (at once, then with growing pauses) and turns it up again.
The caller decides what a missing store means.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from libs.clock import Clock, SystemClock
from libs.errors import PlatformError, Reason
from libs.valkey.link import Link, connect
from libs.valkey.settings import FunctionLibrary, ValkeySettings

# A store that is back must be in use within a second.
PROBE_PAUSE_SECONDS_MAX = 0.25
PROBE_PAUSE_SECONDS_FIRST = 0.05
# Replies that are here already are read first: a timer may run before the socket is looked at.
_LAST_LOOK_SECONDS = 0.001


class Valkey:
    """A pipelining client: what is asked in one event-loop tick travels together.

    Methods raise PlatformError(STORE_UNAVAILABLE, started=False) when the store is down, and redis' ResponseError when
    the command itself is wrong. After a timeout a command may have happened: commands must be safe to repeat.
    """

    def __init__(self, settings: ValkeySettings, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._op_seconds = settings.op_timeout_ms / 1000
        # A ping pays the connect too.
        self._connect_seconds = (settings.op_timeout_ms + settings.connect_timeout_ms) / 1000
        self._up = True
        self._closed = False
        self._link: Link | None = None
        self._why = ""
        self._probe: asyncio.Task[None] | None = None
        self._connecting: asyncio.Task[bool] | None = None
        self._watch: asyncio.TimerHandle | None = None
        # Replies keep the shapes that redis-py gives them.
        self._shapes = dict(Redis.from_url(settings.url, protocol=2, decode_responses=False).response_callbacks)

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
        link = self._link
        if link is None or not self._up:
            link = await self._first_link()
        try:
            return await self._submit(link, args)
        except (ResponseError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: ResponseError | OSError) -> ResponseError | PlatformError:
        """What the caller is told: a command that is wrong as it is, all else as a store that is away."""
        if isinstance(error, ResponseError):
            if is_command_error(error):
                return error
            self._fell(str(error))
        return self._unavailable(str(error))

    async def call(self, library: FunctionLibrary, function: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """Runs `function` of `library`, loading the library when the store does not have it (new, or emptied)."""
        # As `command` does it, without a coroutine of its own: every paid call comes by here twice.
        name, link = f"{library.versioned}_{function}", self._link
        if link is None or not self._up:
            link = await self._first_link()
        try:
            return await self._submit(link, ("FCALL", name, len(keys), *keys, *args))
        except (ResponseError, OSError) as error:
            if not _lacks_library(error):
                raise self._failure(error) from error
        await self._load(library)
        return await self.command("FCALL", name, len(keys), *keys, *args)

    async def call_all(
        self, library: FunctionLibrary, function: str, calls: Sequence[tuple[str, Sequence[Any]]]
    ) -> list[Any]:
        """Runs `function` for each (key, arguments) in one exchange; a call that failed has its PlatformError instead.

        Raises ResponseError when a call itself is wrong.
        """
        name = f"{library.versioned}_{function}"
        link = self._link
        if link is None or not self._up:
            link = await self._first_link()
        sent = [self._submit(link, ("FCALL", name, 1, key, *args)) for key, args in calls]
        replies: list[Any] = []
        for future, (key, args) in zip(sent, calls, strict=True):
            try:
                replies.append(await future)
            except (ResponseError, OSError) as error:
                if _lacks_library(error):
                    replies.append(await self.call(library, function, [key], args))
                elif isinstance(failure := self._failure(error), PlatformError):
                    replies.append(failure)
                else:
                    raise
        return replies

    async def close(self) -> None:
        """Fails what waits, ends the probe and closes the connection. A repeat does nothing."""
        self._closed = True
        tasks = [task for task in (self._probe, self._connecting) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._probe = self._connecting = None
        if self._watch is not None:
            self._watch.cancel()
        if self._link is not None:
            self._link.close("this process is closing")
            await self._link.closed()

    def _submit(self, link: Link, args: tuple[Any, ...]) -> asyncio.Future[Any]:
        future = link.submit(args)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().call_later(self._op_seconds, self._look)
        return future

    async def _first_link(self) -> Link:
        """A client that has not been used yet connects with its first command; callers of one tick share that."""
        if self._up and self._link is None and not self._closed:
            if self._connecting is None or self._connecting.done():
                self._connecting = asyncio.get_running_loop().create_task(self._ping(), name="valkey-connect")
            if not await asyncio.shield(self._connecting):
                self._fell()
        if self._link is None or not self._up:
            raise self._unavailable(self._why or "it failed a moment ago")
        return self._link

    def _look(self, *, last: bool = False) -> None:
        """Gives the link up whose next reply is overdue; one timer for all commands."""
        self._watch = None
        since = self._link.waiting_since() if self._link is not None else None
        if since is None:
            return
        loop = asyncio.get_running_loop()
        left = since + self._op_seconds - loop.time()
        if left > 0:
            self._watch = loop.call_later(left, self._look)
        elif not last:
            self._watch = loop.call_later(_LAST_LOOK_SECONDS, lambda: self._look(last=True))
        elif self._link is not None:
            self._link.close(f"no reply within {self._settings.op_timeout_ms} ms")

    async def _load(self, library: FunctionLibrary) -> None:
        try:
            await self.command("FUNCTION", "LOAD", library.code)
        except ResponseError as error:
            if "already exists" not in str(error):  # another replica was faster
                raise

    async def _ping(self) -> bool:
        try:
            async with asyncio.timeout(self._connect_seconds):
                if self._link is None or self._link.lost:
                    self._link = await connect(self._settings.url, self._shapes, self._fell)
                else:
                    await self._link.submit(("PING",))
        except (OSError, RedisError) as error:  # asyncio's TimeoutError is an OSError
            self._why = f"{type(error).__name__} {error}".strip()
            if self._link is not None:
                self._link.close(self._why)
            return False
        return True

    def _fell(self, why: str = "") -> None:
        self._up, self._why = False, why or self._why
        if self._closed:
            return
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


def _lacks_library(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "Function not found" in str(error)


def is_command_error(error: Exception) -> bool:
    """Whether the store is well and the command itself was wrong (then failing over would hide a defect).

    Codes with which a store says that *it* cannot serve (loading, read-only, out of memory, broken AOF) are not.
    """
    store_trouble = ("LOADING", "READONLY", "OOM", "MISCONF", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "TRYAGAIN")
    return type(error) is ResponseError and not str(error).startswith(store_trouble)
