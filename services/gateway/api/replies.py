"""Whole replies: a JSON body, or an error in OpenAI's shape."""

from __future__ import annotations

from libs.errors import PlatformError
from services.gateway.api.connection import Connection
from services.gateway.api.headers import Headers
from services.gateway.api.streamed import Send
from services.gateway.wire.openai_errors import error_body, error_headers

_JSON = (b"content-type", b"application/json")


async def send_body(
    send: Send, status: int, body: bytes, headers: Headers, connection: Connection | None = None
) -> None:
    """One JSON reply, in one write where `connection` is given and takes it."""
    if connection is not None and connection.try_whole(status, [_JSON, *headers], body):
        return
    length = (b"content-length", b"%d" % len(body))
    headers = [_JSON, length, *headers]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def send_error(
    send: Send,
    problem: PlatformError,
    request_id: str,
    more: Headers | None = None,
    connection: Connection | None = None,
) -> None:
    """One error reply, as of `send_body`; the error's traceback is dropped.

    uvicorn reads and drops the rest of a body that was refused unread.
    """
    headers = [(b"x-request-id", request_id.encode()), *error_headers(problem), *(more or ())]
    if connection is not None and connection.receiving:
        connection = None
    await send_body(send, problem.http_status, error_body(problem), headers, connection)
    _untie(problem)


def _untie(error: BaseException | None) -> None:
    """An error and the frames that it came through hold each other, and all that the call had, until the garbage
    collector finds them; under overload, that is most of the collector's work.
    """
    while error is not None and error.__traceback__ is not None:  # one that was raised from itself is its own cause
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
