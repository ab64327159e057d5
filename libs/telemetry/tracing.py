"""Spans behind one switch: with tracing off each call costs one attribute check, and OpenTelemetry is not imported.

Trace context crosses processes as W3C `traceparent` in `CallInfo.metadata` and in HTTP headers.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Literal, Protocol, Self

Kind = Literal["internal", "server", "client", "consumer"]
Value = str | bool | int | float | list[str]
Attributes = Mapping[str, Value]
_CARRIED = ("traceparent", "tracestate")


class Span:
    """One piece of work. As a context manager it is the current span inside, fails on an exception and ends.

    This class is the span of a service that does not trace: it does nothing.
    """

    __slots__ = ()

    def set(self, attributes: Attributes) -> None:
        """Adds attributes; names from `libs.telemetry.names`, never prompt text or keys."""

    def event(self, name: str, attributes: Attributes | None = None) -> None:
        """Notes something that happened at this moment."""

    def fail(self, error: BaseException) -> None:
        """Marks the work as failed with the kind of the error, not its message, which may quote a request."""

    def carry(self) -> dict[str, str]:
        """The metadata that makes a neighbour's span a child of this one; empty when there is nothing to carry."""
        return {}

    def end(self) -> None:
        """Ends the work. A repeat does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        return


NO_SPAN = Span()


class Backend(Protocol):
    """What makes real spans. Must not block."""

    def start(self, name: str, kind: Kind, parent: Mapping[str, str] | None, attributes: Attributes | None) -> Span:
        """A started span; without a parent it is a child of the current one."""
        ...

    def carry(self) -> dict[str, str]:
        """Metadata of the current span."""
        ...

    def ids(self) -> tuple[str, str] | None:
        """Trace and span id of the current span, in hex."""
        ...


class Tracer:
    """Makes spans. `enabled` may be checked on the hot path before attributes are put together."""

    def __init__(self) -> None:
        self.enabled = False
        self._backend: Backend | None = None

    def use(self, backend: Backend | None) -> None:
        """Switches tracing on, or off with None."""
        self._backend = backend
        self.enabled = backend is not None

    def start(
        self,
        name: str,
        *,
        kind: Kind = "internal",
        parent: Mapping[str, str] | None = None,
        attributes: Attributes | None = None,
    ) -> Span:
        """A span that the caller ends, by `with` (then it is current inside) or `end`.

        `parent` is metadata or headers (lower-case names) that may hold a traceparent; None = the current span.
        """
        if self._backend is None:
            return NO_SPAN
        return self._backend.start(name, kind, parent, attributes)

    span = start

    def carry(self) -> dict[str, str]:
        """Metadata of the current span, {} when tracing is off."""
        return self._backend.carry() if self._backend else {}

    def ids(self) -> tuple[str, str] | None:
        """Trace and span id of the current span for log lines."""
        return self._backend.ids() if self._backend else None


# One per process, as OpenTelemetry's own provider is: spans nest through context variables, which are global too.
tracer = Tracer()


def inject() -> dict[str, str]:
    """The trace context to send along with a call, {} when tracing is off."""
    return tracer.carry() if tracer.enabled else {}


def extract(metadata: Mapping[str, str]) -> dict[str, str]:
    """The trace context in metadata or lower-case headers, to be a span's `parent` or to be passed on."""
    return {key: metadata[key] for key in _CARRIED if key in metadata}
