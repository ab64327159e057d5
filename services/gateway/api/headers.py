"""Response headers of chat answers."""

from __future__ import annotations

from libs.money import to_dollars
from services.gateway.domain.ledger.told import COST, standing_headers
from services.gateway.domain.ledger.types import Standing
from services.gateway.events import Ended, Started

Headers = list[tuple[bytes, bytes]]
_SSE = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx and its like would hold chunks back.
    (b"x-accel-buffering", b"no"),
)
# The answer is that of an earlier call with the same Idempotency-Key.
_REPLAYED = (b"idempotent-replayed", b"true")


def early_headers(
    request_id: str, session_id: str, source: str, standing: Standing | None = None, *, replayed: bool = False
) -> Headers:
    """Of a stream whose first delta is late: what is known for certain."""
    more = _limits(standing) if standing is not None else []
    if replayed:
        more.append(_REPLAYED)
    return [*_SSE, (b"x-request-id", request_id.encode()), *_session(session_id, source), *more]


def started_headers(started: Started) -> Headers:
    """Of a stream whose first delta is here."""
    return [*_SSE, *answer_headers(started)]


def answer_headers(started: Started) -> Headers:
    """What is true of an answer, streamed or whole."""
    headers = [
        (b"x-request-id", started.request_id.encode()),
        (b"x-headrace-worker", _name(started.worker)),
        (b"x-headrace-cached-tokens", b"%d" % started.cached_tokens),
        *_session(started.session_id, started.session_source),
        *_limits(started.standing),
    ]
    if started.route:
        headers.append((b"x-headrace-route", started.route.encode()))
    if started.replayed:
        headers.append(_REPLAYED)
    return headers


def cost_header(ended: Ended) -> tuple[bytes, bytes]:
    """What a whole answer cost."""
    return COST.encode(), to_dollars(ended.cost).encode()


def _limits(standing: Standing) -> Headers:
    return [(name.encode(), value.encode()) for name, value in standing_headers(standing).items()]


def _name(worker: str) -> bytes:
    """A worker says its own name; a line feed in it would be a header of its own."""
    return worker.encode("utf-8", "replace") if worker.isprintable() else b"unprintable"


def _session(session_id: str, source: str) -> Headers:
    headers = [(b"x-session-id", session_id.encode("utf-8", "replace"))] if session_id else []
    return [*headers, (b"x-headrace-session-source", source.encode())] if source else headers
