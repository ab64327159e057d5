"""What callers and handlers see of an RPC, whatever carries it (stock gRPC or the trunk).

Handlers are written once and served by both transports. A unary handler returns its response; a streaming handler
sends through a `Responder` and returns when done, so that one engine step can push into hundreds of calls without
waking a task for each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from google.protobuf.message import Message

from libs.errors import PlatformError
from libs.rpc.method import Method, Req, Res

Res_co = TypeVar("Res_co", bound=Message, covariant=True)
Res_contra = TypeVar("Res_contra", bound=Message, contravariant=True)


@dataclass(slots=True)
class CallInfo:
    """What a handler knows of its call. `deadline` is `Clock.monotonic` seconds, None = none given."""

    method: str
    identity: str
    deadline: float | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


class Responder(Protocol[Res_contra]):
    """The response side of a streaming call."""

    def send(self, response: Res_contra) -> None:
        """Queues a response; never blocks. Raises PlatformError(SLOW_READER or CANCELLED) once the call is over."""
        ...

    def send_encoded(self, payload: bytes) -> None:
        """As `send`, for a response that is encoded already: many that differ little can be written for less."""
        ...

    async def ready(self) -> None:
        """Waits until the peer has credit again, for producers that can pause. Raises as `send`."""
        ...

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """Calls back at most once, on the event loop, when the peer cancels, dies or is cut as a slow reader."""
        ...


class Stream(Protocol[Res_co]):
    """The client side of a streaming call. Ends with StopAsyncIteration or PlatformError."""

    def __aiter__(self) -> AsyncIterator[Res_co]: ...

    async def __anext__(self) -> Res_co: ...

    async def next_batch(self) -> list[Any]:
        """All responses that are here, waiting for the first; empty list = the end. Raises PlatformError."""
        ...

    def tap(self, take: Callable[[Any], bool]) -> None:
        """Offers responses to `take`, in the tick in which they come, while `next_batch` waits for one.

        What `take` refuses (False) goes to `next_batch`, as everything does on transports that do not push: a hint for
        the hot path, which spares waking a task per response. `take` must not block; if it raises, the call fails.
        """
        ...

    def cancel(self) -> None:
        """Gives the call up; the server aborts its work. A repeat does nothing."""
        ...


class Channel(Protocol):
    """Calls to one peer process. Deadlines are mandatory; a lost peer is UNAVAILABLE with `started` set truly."""

    @property
    def address(self) -> str:
        """Host and port of the peer."""
        ...

    async def call(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Res:
        """One request, one response. `timeout` in seconds. Raises PlatformError."""
        ...

    def stream(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Stream[Res]:
        """One request, many responses; the call is opened in this tick. Raises nothing: errors come from the stream."""
        ...

    async def close(self) -> None:
        """Cancels what runs and closes. A repeat does nothing."""
        ...


UnaryHandler = Callable[[Any, CallInfo], Awaitable[Any]]
QuickHandler = Callable[[Any, CallInfo], Any | None]
StreamHandler = Callable[[Any, Responder[Any], CallInfo], Awaitable[None]]
Ended = Callable[[PlatformError | None], None]
StartHandler = Callable[[Any, Responder[Any], CallInfo, Ended], None]


@dataclass(frozen=True)
class Handler:
    """A method and the function that serves it. `allowed` = identities that may call it; empty = any inside.

    `quick` (unary only) may answer without suspending, which spares the trunk a task per call; None = ask `serve`.
    `start` (streaming only, see `libs.rpc.started`) begins what then pushes by itself, which spares the trunk the task
    that would only wait. It does not suspend, raises what `serve` may raise, and says once how the work ended, maybe
    before it returns. A cancel or a deadline reaches it by `Responder.on_cancel`; what it says after that is not heard.
    """

    method: Method[Any, Any]
    serve: UnaryHandler | StreamHandler
    allowed: frozenset[str] = frozenset()
    quick: QuickHandler | None = None
    start: StartHandler | None = None
