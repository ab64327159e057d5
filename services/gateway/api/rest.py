"""The ASGI application: the hot route first, then everything else, each reply with its request id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.ids import request_id as new_request_id
from libs.telemetry import get_logger
from services.gateway.api.body import Receive, bounded
from services.gateway.api.chat_route import PATH as CHAT_PATH
from services.gateway.api.chat_route import ChatRoute
from services.gateway.api.jobs.routes import JobRoutes
from services.gateway.api.keys_in_urls import refusal_of
from services.gateway.api.replies import send_error
from services.gateway.api.streamed import Send
from services.gateway.metrics import RestMetrics

Application = Callable[[Any, Any, Any], Awaitable[None]]
_ALLOW = b"POST, OPTIONS"
# FastAPI reads a body before it knows who sends it; no body but the chat route's is large.
OTHER_BODY_BYTES_MAX = 2**20
OTHER_BODY_SECONDS = 30.0
_log = get_logger("gateway.rest")


@dataclass(frozen=True, slots=True)
class Rest:
    """Dispatches by path; `other` is the admin application, and has all that the others do not."""

    chat: ChatRoute
    other: Application
    metrics: RestMetrics
    clock: Clock
    request_ids: Callable[[], str] = new_request_id
    jobs: JobRoutes | None = None

    def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> Awaitable[None]:
        """One request. Not a coroutine itself: on the hot route it would be resumed for every frame."""
        if (scope["query_string"] or "sk-" in scope["path"]) and (problem := refusal_of(scope)):
            return send_error(send, problem, self.request_ids())
        if scope["path"] != CHAT_PATH:
            if self.jobs is not None and self.jobs.takes(scope["path"]):
                return self.jobs(scope, receive, send)
            return self._other(scope, receive, send)
        if scope["method"] == "POST":
            return self.chat(scope, receive, send)
        return self._not_post(scope["method"], send)

    async def _not_post(self, method: str, send: Send) -> None:
        request_id = self.request_ids()
        if method == "OPTIONS":
            headers = [(b"allow", _ALLOW), (b"x-request-id", request_id.encode())]
            await send({"type": "http.response.start", "status": 204, "headers": headers})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        problem = PlatformError(Reason.METHOD_NOT_ALLOWED, f"{CHAT_PATH} takes POST, not {method}.", started=False)
        await send_error(send, problem, request_id, more=[(b"allow", _ALLOW)])

    async def _other(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        request_id, began = self.request_ids(), self.clock.monotonic()
        status = 500

        async def with_id(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}
        try:
            await self.other(scope, bounded(receive, OTHER_BODY_BYTES_MAX, OTHER_BODY_SECONDS), with_id)
        except Exception:  # the boundary, as in chat_route; the application has replied already
            _log.exception("request.failed", request_id=request_id)
        finally:
            self.metrics.request("other", status, self.clock.monotonic() - began)
