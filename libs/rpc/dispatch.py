"""What happens around every handler on both transports: who may call, until when, and who watches."""

from __future__ import annotations

import asyncio
import hmac
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import copy_context
from typing import Any, Protocol

import structlog

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Ended, Handler

TOKEN_KEY = "x-headrace-token"  # noqa: S105 - the name of a header
IDENTITY_KEY = "x-headrace-identity"
_log = structlog.get_logger(__name__)


class CallHook(Protocol):
    """Watches calls (spans, metrics, access log). Must not block and must not raise."""

    def started(self, info: CallInfo) -> Any:
        """Called before the handler; what it returns comes back in `finished`."""
        ...

    def finished(self, mark: Any, info: CallInfo, error: PlatformError | None, seconds: float) -> None:
        """Called once after the handler."""
        ...


class Dispatcher:
    """Finds the handler of a path and checks the call. `token` = "" lets anyone in (public ports check keys)."""

    def __init__(
        self,
        handlers: Iterable[Handler],
        *,
        token: str,
        clock: Clock,
        margin_seconds: float,
        default_seconds: float | None,
        hooks: Sequence[CallHook] = (),
    ) -> None:
        self._handlers = {handler.method.path: handler for handler in handlers}
        self._token = token.encode()
        self._clock, self._margin, self._default = clock, margin_seconds, default_seconds
        self._hooks = tuple(hooks)

    def find(self, path: str) -> Handler | None:
        """The handler of a gRPC path."""
        return self._handlers.get(path)

    def authentic(self, token: str) -> bool:
        """Whether the caller knows the internal token; compared in constant time."""
        return not self._token or hmac.compare_digest(token.encode(), self._token)

    def identify(self, claimed: str) -> str:
        """Who the caller is: a claim counts only from one who knows the token; on public ports nobody is anyone."""
        return claimed if self._token else ""

    def admit(self, path: str, identity: str, timeout: float | None, metadata: Mapping[str, str]) -> CallInfo:
        """The call's info. Raises PlatformError when the caller may not, or the time does not suffice."""
        handler = self._handlers.get(path)
        if handler is None:
            raise PlatformError(Reason.UNIMPLEMENTED, f"no method {path} is served here", started=False)
        if handler.allowed and identity not in handler.allowed:
            raise PlatformError(
                Reason.PERMISSION_DENIED, f"{identity or 'a caller'} may not call {path}", started=False
            )
        if timeout is None:
            timeout = self._default
        if timeout is None:
            raise PlatformError(Reason.INVALID_REQUEST, "every call needs a deadline: set a timeout", started=False)
        if timeout <= self._margin:
            raise PlatformError(Reason.DEADLINE_EXCEEDED, "no time was left when the call arrived", started=False)
        return CallInfo(path, identity, self._clock.monotonic() + timeout - self._margin, metadata)

    def run_quick(self, info: CallInfo, work: Callable[[], Any]) -> Any:
        """As `run`, for work that does not suspend. None is no answer, and no hook hears of it."""
        if not self._hooks:
            return _translated(info, work)
        began = self._clock.monotonic()
        error: PlatformError | None = None
        answer = None
        try:
            answer = _translated(info, work)
        except PlatformError as raised:
            error = raised
            raise
        finally:
            if answer is not None or error is not None:
                self._tell(self._marks(info), info, began, error)
        return answer

    def start(self, info: CallInfo, work: Callable[[], None]) -> Ended:
        """Runs `work`, which begins what ends later. The hooks hear of that end by what this returns: call it once.

        Raises PlatformError when `work` does; then they have heard of it.
        """
        if not self._hooks:
            _translated(info, work)
            return _unheard
        # A context of the call's own, as a task has one: a span stays current in it, and ends in it.
        context, began = copy_context(), self._clock.monotonic()
        marks = context.run(self._marks, info)
        try:
            context.run(_translated, info, work)
        except PlatformError as error:
            context.run(self._tell, marks, info, began, error)
            raise
        return lambda error: context.run(self._tell, marks, info, began, error)

    def _marks(self, info: CallInfo) -> list[Any]:
        return [hook.started(info) for hook in self._hooks]

    def _tell(self, marks: Sequence[Any], info: CallInfo, began: float, error: PlatformError | None) -> None:
        seconds = self._clock.monotonic() - began
        for hook, mark in zip(self._hooks, marks, strict=True):
            hook.finished(mark, info, error, seconds)

    def left_seconds(self, info: CallInfo) -> float:
        """What is left of a call's deadline; infinite without one."""
        return float("inf") if info.deadline is None else info.deadline - self._clock.monotonic()

    async def run(self, info: CallInfo, work: Callable[[], Any], why: Callable[[], PlatformError] | None = None) -> Any:
        """Awaits `work()` within the deadline, between the hooks. Any exception leaves as PlatformError.

        With `why`, the transport keeps the deadline itself: it cancels the task, and `why` says what it did that for.
        """
        began = self._clock.monotonic()
        marks = self._marks(info)
        error: PlatformError | None = None
        limit: asyncio.Timeout | None = None
        try:
            if why is not None:
                return await work()
            limit = asyncio.timeout(None if info.deadline is None else info.deadline - began)
            async with limit:
                return await work()
        except PlatformError as raised:
            error = raised
            raise
        except asyncio.CancelledError:
            error = why() if why is not None else PlatformError(Reason.CANCELLED, "the caller has gone")
            raise
        except Exception as raised:  # a handler's fault ends its call alone, and its details stay inside
            error = _late(info) if limit is not None and limit.expired() else _fault(info, raised)
            raise error from raised
        finally:
            if self._hooks:
                self._tell(marks, info, began, error)


def _unheard(_error: PlatformError | None) -> None:
    """Where no hook asks how a call ended."""


def _late(info: CallInfo) -> PlatformError:
    return PlatformError(Reason.DEADLINE_EXCEEDED, f"{info.method} did not finish in time")


def _translated(info: CallInfo, work: Callable[[], Any]) -> Any:
    try:
        return work()
    except PlatformError:
        raise
    except Exception as raised:  # as in `run`
        raise _fault(info, raised) from raised


def _fault(info: CallInfo, raised: Exception) -> PlatformError:
    # Frames only: the exception's own words may hold what a user wrote.
    frames = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(raised.__traceback__)]
    _log.error("a handler failed", method=info.method, error=type(raised).__name__, frames=frames[-8:])
    return PlatformError(Reason.INTERNAL, f"{info.method} failed: {type(raised).__name__}")
