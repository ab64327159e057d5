"""Finds the route of a path, lets the caller in, and turns every failure into OpenAI's error body."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.ids import request_id as new_request_id
from libs.telemetry import get_logger
from services.gateway.api.body import Receive
from services.gateway.api.gone import ClientGoneError
from services.gateway.api.jobs.asked import Asked, AskedTimes, unavailable
from services.gateway.api.ports import Authenticator, admitted
from services.gateway.api.replies import send_error
from services.gateway.api.streamed import Send
from services.gateway.metrics import RestMetrics
from services.gateway.wire.openai_errors import unexpected

SECTIONS = ("jobs", "files", "batches")
Serve = Callable[[Asked], Awaitable[None]]
_log = get_logger("gateway.rest")


@dataclass(frozen=True, slots=True)
class Route:
    """`path` is a template such as "/v1/jobs/{id}"."""

    method: str
    path: str
    serve: Serve

    @property
    def pattern(self) -> re.Pattern[str]:
        """What paths of it look like."""
        return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", self.path))


class _Table:
    """Routes by path."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._patterns: dict[str, tuple[re.Pattern[str], dict[str, Serve]]] = {}
        for route in routes:
            self._patterns.setdefault(route.path, (route.pattern, {}))[1][route.method] = route.serve

    def find(self, path: str) -> tuple[dict[str, Serve], dict[str, str]]:
        """What serves the path, by method, and what the path names. Raises NOT_FOUND."""
        for pattern, serves in self._patterns.values():
            if match := pattern.fullmatch(path):
                return serves, match.groupdict()
        raise PlatformError(Reason.NOT_FOUND, f"There is no {path[:200]}. GET /openapi.json lists all.", started=False)


@dataclass(frozen=True, slots=True)
class JobRoutes:
    """The ASGI application of these paths; without `routes` there is no jobs service, and they say so."""

    routes: Sequence[Route]
    door: Authenticator
    clock: Clock
    metrics: RestMetrics
    times: AskedTimes = field(default_factory=AskedTimes)
    request_ids: Callable[[], str] = new_request_id
    table: _Table = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _Table(self.routes))

    @staticmethod
    def takes(path: str) -> bool:
        """Whether a path belongs here."""
        return path.startswith("/v1/") and path[4:].partition("/")[0] in SECTIONS

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request."""
        request_id, began, status = self.request_ids(), self.clock.monotonic(), 500
        asked: Asked | None = None
        try:
            serve, args = self._route(scope)
            if serve is None:
                status = 204
                await _options(send, request_id, args["allow"])
                return
            principal = await self._admitted(scope)
            asked = Asked(scope, receive, send, principal, request_id, self.times, args)
            await serve(asked)
            status = asked.status
        except PlatformError as problem:
            status = problem.http_status
            await _fail(problem, asked, send, request_id)
        except ClientGoneError:
            status = 499
        except Exception:  # the boundary: a defect of ours must reach the client as an error, and the log whole
            _log.exception("jobs.failed", request_id=request_id)
            await _fail(unexpected(), asked, send, request_id)
        finally:
            self.metrics.request(_section(scope["path"]), status, self.clock.monotonic() - began)

    def _route(self, scope: dict[str, Any]) -> tuple[Serve | None, dict[str, str]]:
        """The route; None for OPTIONS, with the methods as `allow`."""
        if not self.routes:
            return _nothing, {}
        serves, args = self.table.find(scope["path"])
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        allow = ", ".join(sorted({*serves, *({"HEAD"} if "GET" in serves else ()), "OPTIONS"}))
        if method == "OPTIONS":
            return None, {"allow": allow}
        if method not in serves:
            message = f"{scope['path'][:200]} takes {allow}, not {method}."
            raise PlatformError(Reason.METHOD_NOT_ALLOWED, message, started=False, headers={"allow": allow})
        return serves[method], args

    async def _admitted(self, scope: dict[str, Any]) -> Any:
        authorization = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        return await admitted(self.door, authorization.decode("latin-1"))


async def _nothing(_: Asked) -> None:
    """Where there are no routes."""
    raise unavailable()


async def _options(send: Send, request_id: str, allow: str) -> None:
    headers = [(b"allow", allow.encode()), (b"x-request-id", request_id.encode())]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _fail(problem: PlatformError, asked: Asked | None, send: Send, request_id: str) -> None:
    """The error as the answer; where one has begun, it is cut, so that nobody takes it for whole."""
    if asked is None or not asked.status:
        await send_error(send, problem, request_id)
    else:
        asked.connection.abort()


def _section(path: str) -> str:
    return path[4:].partition("/")[0]
