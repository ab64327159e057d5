"""A blocking connection to the store that stands in for `libs.valkey.Valkey`: many of the adapter's calls in one write.

The adapter's coroutines are driven by hand: each asks for commands, all of them travel together, each gets its replies.
"""

from __future__ import annotations

import socket
from collections.abc import Coroutine, Generator, Iterable, Sequence
from typing import Any

import hiredis
from redis import Redis
from redis.exceptions import ResponseError

from libs.valkey import FunctionLibrary

Command = tuple[Any, ...]
_SHAPES = dict(Redis().response_callbacks)
_READ_BYTES = 1 << 16


class Asked:
    """Commands that a coroutine waits for; it resumes with their replies."""

    def __init__(self, commands: list[Command]) -> None:
        self._commands = commands

    def __await__(self) -> Generator[list[Command], list[Any], list[Any]]:
        return (yield self._commands)


class Pipe:
    """One connection to the unix socket at `url`. Not for asyncio; `close` it."""

    def __init__(self, url: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(url.removeprefix("unix://"))
        self._reader = hiredis.Reader(replyError=ResponseError)

    def close(self) -> None:
        """A repeat does nothing."""
        self._socket.close()

    async def command(self, *args: Any) -> Any:
        """See libs.valkey.Valkey."""
        (reply,) = await Asked([args])
        shape = _SHAPES.get(args[0])
        return shape(reply) if shape else reply

    async def call(self, library: FunctionLibrary, function: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        """See libs.valkey.Valkey. The library must be loaded."""
        (reply,) = await Asked([("FCALL", f"{library.versioned}_{function}", len(keys), *keys, *args)])
        return reply

    async def call_all(
        self, library: FunctionLibrary, function: str, calls: Sequence[tuple[str, Sequence[Any]]]
    ) -> list[Any]:
        """See libs.valkey.Valkey. The library must be loaded."""
        return await Asked([("FCALL", f"{library.versioned}_{function}", 1, key, *args) for key, args in calls])

    def load(self, *libraries: FunctionLibrary) -> None:
        """Puts function libraries into the store, whatever it has."""
        self.now(*(("FUNCTION", "LOAD", "REPLACE", library.code) for library in libraries))

    def now(self, *commands: Command) -> list[Any]:
        """The replies to commands as they are. Raises ResponseError."""
        self.send(commands)
        return self.receive(len(commands))

    def send(self, commands: Iterable[Command]) -> None:
        """Sends without waiting. Raises OSError."""
        self._socket.sendall(b"".join(hiredis.pack_command(command) for command in commands))

    def receive(self, number: int) -> list[Any]:
        """So many replies. Raises ResponseError for one that is an error, ConnectionError when the store is gone."""
        replies: list[Any] = []
        while len(replies) < number:
            reply = self._reader.gets()
            if isinstance(reply, Exception):
                raise reply
            if reply is not False:
                replies.append(reply)
            elif data := self._socket.recv(_READ_BYTES):
                self._reader.feed(data)
            else:
                raise ConnectionError("the store has gone")
        return replies

    def receive_left(self) -> list[Any]:
        """The replies that came before the store was killed."""
        replies: list[Any] = []
        try:
            while True:
                replies += self.receive(1)
        except OSError:
            return replies

    def run(self, coroutines: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
        """The results of coroutines that ask once each, all asked in one write."""
        asked = [coroutine.send(None) for coroutine in coroutines]
        replies = iter(self.now(*(command for commands in asked for command in commands)))
        return [
            result_of(coroutine, [next(replies) for _ in commands])
            for coroutine, commands in zip(coroutines, asked, strict=True)
        ]


def result_of(coroutine: Coroutine[Any, Any, Any], replies: list[Any]) -> Any:
    """What a coroutine returns once it has its replies."""
    try:
        coroutine.send(replies)
    except StopIteration as done:
        return done.value
    raise RuntimeError("a coroutine asked the store twice")
