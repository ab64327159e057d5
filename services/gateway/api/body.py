"""Request bodies, bounded before they are read and while they are."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.exceptions import HTTPException

from libs.errors import PlatformError, Reason
from services.gateway.api.gone import ClientGoneError

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


async def read_body(receive: Receive, content_length: bytes | None, most: int) -> bytes:
    """The whole body; raises PlatformError(PAYLOAD_TOO_LARGE), or ClientGoneError.

    A chunked body has no length to check, so what has come is counted as well.
    """
    if content_length is not None and content_length.isdigit() and int(content_length) > most:
        raise too_large(most)
    message = await receive()
    _still_there(message)
    if not message["more_body"]:
        return whole(message["body"], most)
    parts = [message["body"]]
    size = len(parts[0])
    while message["more_body"]:
        if size > most:
            raise too_large(most)
        message = await receive()
        _still_there(message)
        parts.append(message["body"])
        size += len(parts[-1])
    return whole(b"".join(parts), most)


def bounded(receive: Receive, most: int, timeout: float) -> Receive:
    """`receive` for applications that read whole bodies: raises HTTPException 413 and 408.

    The application's own handler makes the reply. What comes after the body (the client's going) is not timed.
    """
    size, over = 0, False

    async def next_part() -> MutableMapping[str, Any]:
        nonlocal size, over
        if over:
            return await receive()
        try:
            async with asyncio.timeout(timeout):
                message = await receive()
        except TimeoutError:
            headers = {"connection": "close"}
            raise HTTPException(408, f"The body did not arrive within {timeout:g} seconds", headers) from None
        size += len(message.get("body", b""))
        if size > most:
            raise HTTPException(413, f"The body is larger than {most} bytes", {"connection": "close"})
        over = not message.get("more_body", False)
        return message

    return next_part


def too_large(most: int) -> PlatformError:
    """The 413."""
    return PlatformError(
        Reason.PAYLOAD_TOO_LARGE, f"The body is larger than {most} bytes. Send less context.", started=False
    )


def whole(body: bytes, most: int) -> bytes:
    """The body, which has come; raises PlatformError(PAYLOAD_TOO_LARGE)."""
    if len(body) > most:
        raise too_large(most)
    return body


def _still_there(message: MutableMapping[str, Any]) -> None:
    if message["type"] == "http.disconnect":
        raise ClientGoneError
