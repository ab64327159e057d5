"""`headrace.gateway.v1.WorkService` on the inside port: requests whose callers do not wait for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from headrace.gateway.v1 import work_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.ids import request_id as new_request_id
from libs.rpc.api import CallInfo, Handler, Responder
from libs.rpc.method import method
from services.gateway.domain.attempts import PASSING
from services.gateway.domain.idempotency import AbandonedError
from services.gateway.domain.ledger.pricing import MILLION
from services.gateway.domain.ledger.types import Terms
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Delta, Ended, Event
from services.gateway.metrics import WorkMetrics
from services.gateway.usecases.ledger.reservations import ReservationDesk
from services.gateway.usecases.work.performing import Performance, Performing, Step, too_large
from services.gateway.usecases.work.reserving import Reserving
from services.gateway.wire.grpc_chat import request_of
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder
from services.gateway.wire.openai_chat_whole import ChatWhole
from services.gateway.wire.openai_errors import error_body
from services.gateway.wire.refusals import invalid

_SERVICE = pb.DESCRIPTOR.services_by_name["WorkService"]
RESERVE = method(_SERVICE, "Reserve", pb.ReserveRequest, pb.ReserveResponse)
RELEASE = method(_SERVICE, "Release", pb.ReleaseRequest, pb.ReleaseResponse)
PERFORM = method(_SERVICE, "Perform", pb.PerformRequest, pb.PerformResponse)
ABANDON = method(_SERVICE, "Abandon", pb.AbandonRequest, pb.AbandonResponse)
PATH = "/v1/chat/completions"
# What may be otherwise the next time: the caller tries again. Every other error is the request's outcome.
AGAIN = PASSING | {
    Reason.WORKER_LOST,
    Reason.WRONG_DIGEST,
    Reason.ENGINE_DEAD,
    Reason.UPSTREAM_ERROR,
    Reason.STREAM_INTERRUPTED,
    Reason.SLOW_READER,
    Reason.DEADLINE_EXCEEDED,
    Reason.CANCELLED,
    Reason.RATE_LIMITED,
    Reason.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class WorkLimits:
    """An outcome's body beyond `body_bytes_max` could not cross to another service; `progress` is in seconds.

    `batch_ppm`: share of the price (millionths) of batches that begin again after their end.
    """

    body_bytes_max: int = 7 * 2**20
    progress: float = 1.0
    batch_ppm: int = MILLION


@dataclass(frozen=True, slots=True)
class WorkDecoder:
    """Reads requests in the forms in which they would be made directly. Raises PlatformError, always a 400."""

    chat: ChatDecoder
    limits: Limits

    def decode(self, work: pb.Work, principal: Principal) -> ChatRequest:
        """The request. That it asks for a stream is nobody's business: its answer is told whole."""
        if work.path != PATH:
            raise invalid("path", f"'path' must be {PATH}: nothing else can be asked for here.")
        form = work.WhichOneof("form")
        if form == "body":
            request = self.chat.decode(work.body, {}, principal).request
        elif form == "chat":
            request = request_of(work.chat, {}, principal, self.limits)
        else:
            raise invalid("body", "The request is missing: send 'body' or 'chat'.")
        return replace(request, streamed=False)


@dataclass(frozen=True, slots=True)
class GrpcWork:
    """Serves WorkService to the jobs service."""

    reserving: Reserving
    performing: Performing
    desk: ReservationDesk
    decoder: WorkDecoder
    clock: Clock
    metrics: WorkMetrics
    limits: WorkLimits = field(default_factory=WorkLimits)
    request_ids: Callable[[], str] = new_request_id

    def handlers(self) -> list[Handler]:
        """What an RpcServer serves."""
        jobs = frozenset({"jobs"})
        return [
            Handler(RESERVE, self.reserve, jobs),
            Handler(RELEASE, self.release, jobs),
            Handler(PERFORM, self.perform, jobs),
            Handler(ABANDON, self.abandon, jobs),
        ]

    async def reserve(self, request: pb.ReserveRequest, info: CallInfo) -> pb.ReserveResponse:
        """See work.proto."""
        caller, deadline = request.caller, info.deadline or self.clock.monotonic()
        decodes = [partial(self.decoder.decode, work) for work in request.requests]
        found = await self.reserving.reserve(
            request.reservation, (caller.tenant, caller.key_id), decodes, deadline, batch=request.batch
        )
        return pb.ReserveResponse(reserved_nanodollars=found.amount, models=found.models)

    async def release(self, request: pb.ReleaseRequest, info: CallInfo) -> pb.ReleaseResponse:
        """See work.proto."""
        del info
        freed = await self.desk.release(request.tenant, request.reservations)
        return pb.ReleaseResponse(released_nanodollars=freed)

    async def abandon(self, request: pb.AbandonRequest, info: CallInfo) -> pb.AbandonResponse:
        """See work.proto."""
        del info
        await self.performing.abandon(request.tenant, request.key)
        return pb.AbandonResponse()

    async def perform(
        self, request: pb.PerformRequest, responder: Responder[pb.PerformResponse], info: CallInfo
    ) -> None:
        """See work.proto. A caller that goes away only stops listening."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - handlers run in tasks; this tells mypy
        responder.on_cancel(partial(_cancel, task))
        request_id = self.request_ids()
        try:
            outcome = await self._outcome(request, request_id, responder, info)
        except PlatformError as error:
            if error.reason in AGAIN and not isinstance(error, AbandonedError):
                self.metrics.performed("again")
                raise
            self.metrics.performed("refused")
            outcome = _refused(error, request_id)
        responder.send(pb.PerformResponse(outcome=outcome))

    async def _outcome(
        self, request: pb.PerformRequest, request_id: str, responder: Responder[pb.PerformResponse], info: CallInfo
    ) -> pb.PerformResponse.Outcome:
        work = request.work
        body = work.SerializeToString(deterministic=True)
        decode = partial(self.decoder.decode, work)
        step = Step(request.tenant, request.reservation, request.key, body, decode, self._afterwards(request))
        deadline = info.deadline or self.clock.monotonic()
        found = await self.performing.open(step, request_id=request_id, deadline=deadline)
        telling = _Telling(found, responder, self.clock, self.limits)
        async with aclosing(found.events()) as batches:
            async for batch in batches:
                telling.take(batch)
                await responder.ready()
        self.metrics.performed("replayed" if found.answer.replayed else "answered")
        return telling.outcome()

    def _afterwards(self, request: pb.PerformRequest) -> Terms | None:
        caller = request.caller
        if not caller.key_id:
            return None
        return Terms(caller.key_id, caller.user, self.limits.batch_ppm if request.batch else MILLION)


class _Telling:
    """Collects an answer, and tells how it gets on."""

    def __init__(
        self, found: Performance, responder: Responder[pb.PerformResponse], clock: Clock, limits: WorkLimits
    ) -> None:
        sampling = found.request.sampling
        self._found, self._responder, self._clock, self._limits = found, responder, clock, limits
        self._whole = ChatWhole(n=sampling.n, logprobs=sampling.logprobs)
        self._tokens, self._told_at = 0, clock.monotonic()
        self._ended: Ended | None = None

    def take(self, batch: list[Event]) -> None:
        """What is ready."""
        self._whole.add(batch)
        for event in batch:
            if type(event) is Delta:
                self._tokens += len(event.response.token_ids)
            elif type(event) is Ended:
                self._ended = event
        now = self._clock.monotonic()
        if self._ended is None and now - self._told_at >= self._limits.progress:
            self._told_at = now
            self._responder.send(pb.PerformResponse(completion_tokens=self._tokens))

    def outcome(self) -> pb.PerformResponse.Outcome:
        """The answer as REST would have told it. Raises STREAM_INTERRUPTED where it has no end."""
        answer, request, ended = self._found.answer, self._found.request, self._ended
        status, body = 200, self._whole.body(answer.answer_id, request.model, answer.created, request.ignored_fields)
        if len(body) > self._limits.body_bytes_max:
            problem = too_large(f"it has {len(body)} bytes, and {self._limits.body_bytes_max} can be told")
            status, body = problem.http_status, error_body(problem)
        assert ended is not None  # noqa: S101 - `body` has raised
        return pb.PerformResponse.Outcome(
            status_code=status,
            body=body,
            request_id=answer.answer_id,
            prompt_tokens=ended.prompt_tokens,
            cached_tokens=ended.cached_tokens,
            completion_tokens=ended.completion_tokens,
            cost_nanodollars=ended.cost,
            replayed=answer.replayed,
        )


def _refused(error: PlatformError, request_id: str) -> pb.PerformResponse.Outcome:
    return pb.PerformResponse.Outcome(status_code=error.http_status, body=error_body(error), request_id=request_id)


def _cancel(task: asyncio.Task[Any]) -> None:
    task.cancel()
