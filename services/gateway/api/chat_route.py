"""`POST /v1/chat/completions` as a raw ASGI endpoint: the hot route."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.ids import request_id as new_request_id
from libs.telemetry import Span, get_logger, names, tracer
from libs.telemetry.tracing import NO_SPAN
from services.gateway.api.body import Receive, read_body, whole
from services.gateway.api.connection import EXTENSION, Connection
from services.gateway.api.gone import ClientGoneError, UntilGone
from services.gateway.api.headers import Headers, answer_headers, cost_header
from services.gateway.api.ports import Authenticator, KeyedAnswer, KeyedPipeline, Pipeline
from services.gateway.api.replies import send_body, send_error
from services.gateway.api.streamed import Send, StreamedAnswer, StreamTimes
from services.gateway.api.watch import Watch
from services.gateway.domain.auth import bearer
from services.gateway.domain.idempotency import Keyed, unkept
from services.gateway.domain.idempotency import keyed as keyed_of
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Ended, Started
from services.gateway.metrics import RestMetrics
from services.gateway.wire.openai_chat_decode import HEADERS, ChatCall, ChatDecoder
from services.gateway.wire.openai_chat_stream import ChatStream
from services.gateway.wire.openai_chat_whole import ChatWhole
from services.gateway.wire.openai_errors import unexpected

ROUTE = "chat"
PATH = "/v1/chat/completions"
_BODYS = {name.encode(): name for name in HEADERS}
_log = get_logger("gateway.rest")


@dataclass(frozen=True, slots=True)
class ChatRouteLimits:
    """`timeout` is the deadline of a call, `body_timeout` the time its body may take to arrive, both in seconds."""

    body_bytes_max: int = 16 * 2**20
    body_timeout: float = 30.0
    timeout: float = 600.0
    times: StreamTimes = field(default_factory=StreamTimes)


@dataclass(slots=True)
class _Head:
    """The request's headers that matter here."""

    authorization: str = ""
    content_length: bytes | None = None
    # Those that say what the body may say, too: its session, its constraints.
    of_body: dict[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class ChatRoute:
    """The endpoint; one object for all calls of the process."""

    pipeline: Pipeline
    authenticator: Authenticator
    decoder: ChatDecoder
    clock: Clock
    watch: Watch
    metrics: RestMetrics
    limits: ChatRouteLimits = field(default_factory=ChatRouteLimits)
    request_ids: Callable[[], str] = new_request_id
    keyed: KeyedPipeline | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Serves one call; every failure becomes OpenAI's error body."""
        request_id, began, status = self.request_ids(), self.clock.monotonic(), 500
        connection: Connection = scope["extensions"][EXTENSION]
        try:
            with _span(scope, request_id) as span:
                call, principal, keyed = await self._read(scope, receive)
                with UntilGone(connection):
                    deadline = began + self.limits.timeout
                    stored = None
                    if keyed is not None:
                        stored = await self._stored(keyed, call, principal, request_id, deadline)
                    if call.stream:
                        answer = self._begin(call, request_id, connection, send, stored)
                        try:
                            await self._streamed(answer, call.request, principal, request_id, deadline, stored)
                        finally:
                            status = self._end(answer)
                    else:
                        body, headers = await self._whole(call.request, principal, request_id, deadline, stored)
                        await send_body(send, 200, body, headers, connection)
                        status = 200
                span.set({names.HTTP_STATUS: status})
        except PlatformError as problem:
            status = problem.http_status
            await send_error(send, problem, request_id, connection=connection)
        except ClientGoneError:
            status = 499
        except Exception:  # the boundary: a defect of ours must reach the client as an error, and the log whole
            status = 500
            _log.exception("chat.failed", request_id=request_id)
            await send_error(send, unexpected(), request_id)
        finally:
            self.metrics.request(ROUTE, status, self.clock.monotonic() - began)

    async def _read(self, scope: dict[str, Any], receive: Receive) -> tuple[ChatCall, Principal, Keyed | None]:
        """Who calls is settled before the body is read: a stranger's megabytes are not taken."""
        head = _head_of(scope["headers"])
        presented = bearer(head.authorization)
        principal = self.authenticator.known(presented) or await self.authenticator.authenticate(presented)
        connection: Connection = scope["extensions"][EXTENSION]
        if not connection.receiving:
            return self._decoded(whole(connection.whole_body(), self.limits.body_bytes_max), head, principal)
        try:
            async with asyncio.timeout(self.limits.body_timeout):
                body = await read_body(receive, head.content_length, self.limits.body_bytes_max)
        except TimeoutError:
            # It has not finished its request, so it cannot read an answer: the connection is of no use to anybody.
            connection.abort()
            raise ClientGoneError from None
        return self._decoded(body, head, principal)

    def _decoded(self, body: bytes, head: _Head, principal: Principal) -> tuple[ChatCall, Principal, Keyed | None]:
        call = self.decoder.decode(body, head.of_body, principal)
        if head.idempotency_key is None:
            return call, principal, None
        return call, principal, keyed_of(head.idempotency_key, ROUTE, body, call.request, principal)

    async def _stored(
        self, keyed: Keyed, call: ChatCall, principal: Principal, request_id: str, deadline: float
    ) -> KeyedAnswer:
        if self.keyed is None:
            raise unkept()
        return await self.keyed.open(keyed, call.request, principal, request_id=request_id, deadline=deadline)

    def _begin(
        self, call: ChatCall, request_id: str, connection: Connection, send: Send, stored: KeyedAnswer | None
    ) -> StreamedAnswer:
        request = call.request
        stream = ChatStream(
            stored.answer_id if stored else request_id,
            request.model,
            stored.created if stored else int(self.clock.unix()),
            include_usage=call.include_usage,
            top_logprobs=request.sampling.logprobs or 0,
            ignored_fields=request.ignored_fields,
            content_only=not request.tools and request.sampling.logprobs is None,
        )
        answer = StreamedAnswer(
            send,
            connection,
            stream,
            request_id=request_id,
            session=(request.session.explicit, request.session.source),
            times=self.limits.times,
            now=self.clock.monotonic(),
            replayed=stored is not None and stored.replayed,
        )
        self.watch.add(answer)
        return answer

    def _end(self, answer: StreamedAnswer) -> int:
        """Returns the status to count."""
        self.watch.remove(answer)
        failure = answer.failure
        self.metrics.streamed(answer.writes, slow_reader=failure is not None and failure.reason is Reason.SLOW_READER)
        return 200 if failure is None else failure.http_status

    async def _streamed(
        self,
        answer: StreamedAnswer,
        request: ChatRequest,
        principal: Principal,
        request_id: str,
        deadline: float,
        stored: KeyedAnswer | None,
    ) -> None:
        """Sends the whole answer, or as much as there is and why it stops; raises where nothing was sent."""
        if stored is None:
            events = self.pipeline.chat(
                request, principal, request_id=request_id, deadline=deadline, write=answer.write_now, held=answer.held
            )
        else:
            events = stored.events(answer.held)
        async with aclosing(events):
            try:
                await answer.run(events)
            except (PlatformError, asyncio.CancelledError) as error:
                await answer.break_off(error)
            except Exception:  # as in __call__, for a client that has a part of its answer
                _log.exception("chat.failed", request_id=request_id)
                await answer.break_off(unexpected())

    async def _whole(
        self,
        request: ChatRequest,
        principal: Principal,
        request_id: str,
        deadline: float,
        stored: KeyedAnswer | None,
    ) -> tuple[bytes, Headers]:
        if stored is None:
            events = self.pipeline.chat(request, principal, request_id=request_id, deadline=deadline)
        else:
            events = stored.events()
        whole = ChatWhole(n=request.sampling.n, logprobs=request.sampling.logprobs)
        headers = [(b"x-request-id", request_id.encode())]
        async with aclosing(events):
            async for batch in events:
                whole.add(batch)
                for event in batch:
                    if type(event) is Started:
                        headers = answer_headers(event)
                    elif type(event) is Ended:
                        headers.append(cost_header(event))
        answer_id, created = (request_id, int(self.clock.unix()))
        if stored is not None:
            answer_id, created = stored.answer_id, stored.created
        return whole.body(answer_id, request.model, created, request.ignored_fields), headers


def _span(scope: dict[str, Any], request_id: str) -> Span:
    """The trace's span of this process, a child of the client's where there is one."""
    if not tracer.enabled:
        return NO_SPAN
    attributes = {names.HTTP_METHOD: "POST", names.HTTP_ROUTE: PATH, names.REQUEST_ID: request_id}
    return tracer.start(f"POST {PATH}", kind="server", parent=trace_parent(scope["headers"]), attributes=attributes)


def _head_of(headers: list[tuple[bytes, bytes]]) -> _Head:
    head = _Head()
    for name, value in headers:
        if name == b"authorization":
            head.authorization = value.decode("latin-1")
        elif name == b"content-length":
            head.content_length = value
        elif name == b"idempotency-key":
            # What is no UTF-8 becomes something that is not printable either, and is refused with that.
            head.idempotency_key = value.decode("utf-8", "surrogateescape")
        elif name in _BODYS:
            head.of_body.setdefault(_BODYS[name], value.decode("utf-8", "replace"))
    return head


def trace_parent(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """The trace context of a request's headers; empty = this request begins a trace."""
    wanted = (b"traceparent", b"tracestate")
    return {name.decode(): value.decode("latin-1") for name, value in headers if name in wanted}
