"""`GET /v1/requests/{id}` and `GET /v1/requests`: what became of requests, for those whose they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI
from fastapi import Query as Parameter
from starlette.responses import StreamingResponse

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.api.accounts.door import ERRORS, caller_of
from services.gateway.api.ports import Authenticator
from services.gateway.domain.accounts.access import Action, Relation, Target, Verdict, allowed, judge, relation
from services.gateway.domain.request_record import RequestRecord
from services.gateway.domain.turns import Principal
from services.gateway.usecases.records.reader import Query, RecordReader
from services.gateway.wire.openai_errors import error_body

LIMIT_MAX = 10_000
_SECONDS_PER_DAY = 86_400
# Of the year 9998: later days have no name.
_LAST_SECOND = 253_370_764_800
_LINES = "application/x-ndjson"
_DESCRIBED: dict[int | str, dict[str, Any]] = ERRORS | {
    200: {"content": {_LINES: {}}, "description": "A record per line; the last line may be a cursor"}
}

_From = Annotated[str, Parameter(alias="from", max_length=40, description="Unix seconds or ISO 8601; a day ago")]
_To = Annotated[str, Parameter(alias="to", max_length=40, description="Unix seconds or ISO 8601; now")]
_Limit = Annotated[int, Parameter(ge=1, le=LIMIT_MAX)]


def add_request_routes(app: FastAPI, *, reader: RecordReader, door: Authenticator, clock: Clock) -> None:
    """Adds both routes."""
    router = APIRouter(tags=["requests"], responses=ERRORS)
    _add_one(router, reader, caller_of(door))
    _add_list(router, reader, caller_of(door), clock)
    app.include_router(router)


def _add_one(router: APIRouter, reader: RecordReader, who: Any) -> None:
    @router.get("/v1/requests/{request_id}")
    async def get_request(request_id: str, tenant: str = "", caller: Principal = who) -> dict[str, Any]:
        """One request: attempts, worker, tokens, cost, and its texts where the tenant keeps them.

        `tenant` is for administrators of the installation. A record is found some seconds after its request at the
        latest; the gateway that served it knows it at once, without texts at first ("text": "pending").
        """
        record = await reader.get(_tenant(caller, tenant), request_id)
        if record is None or not may_read(caller, record):
            raise _not_found(request_id)
        return record.shown()


def _add_list(router: APIRouter, reader: RecordReader, who: Any, clock: Clock) -> None:
    @router.get("/v1/requests", responses=_DESCRIBED, response_class=StreamingResponse)
    async def list_requests(
        since: _From = "",
        until: _To = "",
        key: str = "",
        user: str = "",
        tenant: str = "",
        after: str = "",
        limit: _Limit = 1000,
        text: bool = False,  # noqa: FBT001, FBT002 - a parameter of the URL
        caller: Principal = who,
    ) -> StreamingResponse:
        """Requests that began within a time, as JSON lines, about in order; with `text=true` their texts too.

        A tenant's administrator sees the tenant's, a member its user's, a service key its own. When there are more, the
        last line is `{"object": "cursor", "after": …}`: pass it on as `after`.
        """
        now = clock.unix()
        first_at, last_at = _time(since, "from", now - _SECONDS_PER_DAY), _time(until, "to", now)
        query = query_of(caller, tenant, key, user, (first_at, last_at))
        lines = _lines(reader, query, caller, after=after, limit=limit, with_text=text)
        # Its first line comes before the headers: what is wrong is told by the status.
        first = await anext(lines, b"")
        return StreamingResponse(_joined(first, lines), media_type=_LINES)


def _tenant(caller: Principal, named: str) -> str:
    """The tenant that is asked for; raises NOT_FOUND where it is none of the caller's business."""
    tenant = named or caller.tenant
    if tenant != caller.tenant and not allowed(caller.role, Action.REQUEST_READ, Relation.FOREIGN):
        raise PlatformError(Reason.NOT_FOUND, f"There is no tenant '{named[:64]}' that you may see.", param="tenant")
    return tenant


def may_read(caller: Principal, record: RequestRecord) -> bool:
    """Whether the record is the caller's to read."""
    target = Target(record.tenant, user=record.user, key=record.key)
    return judge(caller, Action.REQUEST_READ, target) is Verdict.ALLOWED


def _not_found(request_id: str) -> PlatformError:
    message = (
        f"There is no record of a request '{request_id[:80]}' that you may see: its id is in `x-request-id` of the "
        "reply, and records are kept for as long as the tenant's policy says."
    )
    return PlatformError(Reason.NOT_FOUND, message)


def query_of(caller: Principal, tenant: str, key: str, user: str, times: tuple[float, float]) -> Query:
    """The widest that the caller may see, within what it asks for. Raises NOT_FOUND."""
    tenant = _tenant(caller, tenant)
    if not allowed(caller.role, Action.REQUEST_READ, relation(caller, Target(tenant))):
        own_user = caller.account_user
        if own_user and allowed(caller.role, Action.REQUEST_READ, Relation.OWN_USER):
            user = _own(user, own_user, "user")
        else:
            key = _own(key, caller.key_id, "key")
    return Query(tenant, *times, key=key, user=user)


def _own(named: str, own: str, what: str) -> str:
    if named not in ("", own):
        raise PlatformError(Reason.NOT_FOUND, f"There is no {what} '{named[:64]}' that you may see.", param=what)
    return own


async def _lines(
    reader: RecordReader, query: Query, caller: Principal, *, after: str, limit: int, with_text: bool
) -> AsyncIterator[bytes]:
    count, cursor = 0, ""
    async for record, place in reader.read(query, after):
        if not may_read(caller, record):
            continue
        if count == limit:
            yield msgspec.json.encode({"object": "cursor", "after": cursor}) + b"\n"
            return
        count, cursor = count + 1, place
        yield msgspec.json.encode(record.shown(with_text=with_text)) + b"\n"


async def _joined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    try:
        async for line in rest:
            yield line
    except PlatformError as error:
        # The status has gone out: the last line says that this is not all.
        yield error_body(error) + b"\n"


def _time(text: str, name: str, default: float) -> float:
    if not text:
        return default
    try:
        seconds = float(text) if text.replace(".", "", 1).isdigit() else _iso(text)
    except ValueError:
        seconds = -1.0
    if not 0.0 <= seconds <= _LAST_SECOND:
        message = f"'{name}' is no time: write Unix seconds, or ISO 8601 such as 2026-01-31T12:00:00Z."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param=name)
    return seconds


def _iso(text: str) -> float:
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
