"""Stored answers in place of those that nobody can make: the last link of the chain before 503."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import msgspec
from headrace.inference.v1 import inference_pb2 as ipb

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.answer_text import AnswerText
from services.gateway.domain.cached_answer import CachedAnswer, CachedCall, cacheable, digest_of, usable
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.record import CallRecord
from services.gateway.domain.route import Route, told
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Delta, Ended, Event, Started
from services.gateway.ports.cached_answers import CachedAnswers

# A larger one is not kept: it would take the room of many.
CHARACTERS_MAX = 64 * 1024
# Answers on their way into the store; what comes beyond is not kept, for the store is slow then.
KEEPING_MAX = 64
# Whoever waits for a stand-in has waited in vain already.
_FIND_SECONDS = 0.25
# Nobody could answer. A call that is itself at fault, or may not be paid for, is told so.
_FOR = frozenset(
    {
        Reason.NO_WORKER,
        Reason.OVERLOADED,
        Reason.WORKER_LOST,
        Reason.WRONG_DIGEST,
        Reason.DRAINING,
        Reason.ENGINE_DEAD,
        Reason.UPSTREAM_ERROR,
        Reason.INTERNAL,
        Reason.ROUTER_UNAVAILABLE,
    }
)
_FINISH = {
    "stop": ipb.FINISH_REASON_STOP,
    "length": ipb.FINISH_REASON_LENGTH,
    "tool_calls": ipb.FINISH_REASON_TOOL_CALLS,
    "content_filter": ipb.FINISH_REASON_CONTENT_FILTER,
}
_decoder = msgspec.msgpack.Decoder(CachedAnswer)


class StandIns:
    """Keeps and finds answers of keys that take them; others' calls cost a look at their principal.

    `secret` keys the digests of requests. `count` hears "kept", "given", "missed", "dropped".
    """

    def __init__(self, answers: CachedAnswers, secret: bytes, clock: Clock, count: Callable[[str], None]) -> None:
        self._answers, self._secret, self._clock, self._count = answers, secret, clock, count
        self._keeping: set[asyncio.Task[None]] = set()

    def text_for(self, request: ChatRequest, principal: Principal) -> AnswerText | None:
        """Where the answer's text is to be gathered; None = it will not be kept."""
        return AnswerText(CHARACTERS_MAX) if cacheable(request, principal) else None

    def keep(self, record: CallRecord, text: AnswerText) -> None:
        """Keeps the answer of a call that has ended well, in the background. Never raises."""
        request, principal = record.request, record.principal
        if request is None or principal is None or not _whole(record, request, text):
            return
        if len(self._keeping) >= KEEPING_MAX:
            self._count("dropped")
            return
        answer = _answer(record, text, self._clock.unix())
        task = asyncio.get_running_loop().create_task(self._keep(request, principal, answer), name="cached-answer")
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    async def _keep(self, request: ChatRequest, principal: Principal, answer: CachedAnswer) -> None:
        try:
            packed = msgspec.msgpack.encode(answer)
            await self._answers.keep(principal.tenant, digest_of(request, self._secret), packed)
        except PlatformError:
            self._count("dropped")
        else:
            self._count("kept")

    async def find(self, error: BaseException, request: ChatRequest, principal: Principal) -> CachedAnswer | None:
        """What may be given in place of an answer that could not be begun because of `error`. Never raises."""
        if not isinstance(error, PlatformError) or error.reason not in _FOR or not cacheable(request, principal):
            return None
        try:
            async with asyncio.timeout(_FIND_SECONDS):
                packed = await self._answers.find(principal.tenant, digest_of(request, self._secret))
            found = None if packed is None else _decoder.decode(packed)
        except (PlatformError, TimeoutError, msgspec.MsgspecError):
            found = None
        if found is None or not usable(found, request, principal, self._clock.unix()):
            self._count("missed")
            return None
        self._count("given")
        return found

    async def close(self) -> None:
        """Waits for what is on its way; the store's own time limit bounds it."""
        await asyncio.gather(*self._keeping, return_exceptions=True)


def events_of(
    answer: CachedAnswer, call: CallRecord, standing: Standing, ignored_fields: tuple[str, ...]
) -> list[Event]:
    """The whole answer, as the pipeline tells it; `call` is brought up to date. It costs nothing."""
    route = call.route = call.route or Route(call.model)
    route.replayed_from, call.model = answer.request_id, answer.model
    call.first_delta_at = call.first_delta_at or call.ended_at
    call.prompt_tokens, call.completion_tokens = answer.prompt_tokens, answer.completion_tokens
    call.cached_tokens, call.reasoning_tokens = 0, answer.reasoning_tokens
    call.finishes, words = (answer.finish,), told(route, "", "")
    waited = (call.ended_at - call.started_at) * 1000
    session = call.session, call.session_source
    started = Started(call.request_id, answer.model, "", *session, 0, standing, route=words)
    ended = Ended(
        answer.prompt_tokens, answer.completion_tokens, 0, answer.reasoning_tokens, "", *session, call.attempts,
        waited, waited, ignored_fields=ignored_fields, queued_ms=call.queued_ms, route=words,
        cached_answer=answer.request_id,
    )  # fmt: skip
    return [started, *[Delta(delta) for delta in deltas_of(answer)], ended]


def deltas_of(answer: CachedAnswer) -> Iterator[ipb.GenerateResponse]:
    """The answer as a worker would stream it, in as few deltas as its channels allow."""
    if answer.reasoning:
        yield ipb.GenerateResponse(text=answer.reasoning, channel=ipb.CHANNEL_REASONING)
    if answer.content:
        yield ipb.GenerateResponse(text=answer.content)
    calls = [
        ipb.ToolCallDelta(index=at, id=call.id, name=call.name, arguments=call.arguments)
        for at, call in enumerate(answer.tool_calls)
    ]
    if calls:
        yield ipb.GenerateResponse(tool_calls=calls)
    yield ipb.GenerateResponse(finish=_FINISH.get(answer.finish, ipb.FINISH_REASON_STOP))


def _whole(record: CallRecord, request: ChatRequest, text: AnswerText) -> bool:
    """Whether the answer is what the request alone makes it: not cut by money, and all of it is here."""
    if record.stood_in or record.truncated or text.cut or not record.finishes:
        return False
    return request.constraints.max_cost is None or record.finishes[0] != "length"


def _answer(record: CallRecord, text: AnswerText, at: float) -> CachedAnswer:
    choice = text.choices().get(0)
    calls = sorted(choice.tool_calls.items()) if choice else ()
    return CachedAnswer(
        request_id=record.request_id,
        at=at,
        model=record.model,
        finish=record.finishes[0],
        content="".join(choice.content) if choice else "",
        reasoning="".join(choice.reasoning) if choice else "",
        tool_calls=tuple([CachedCall(call.id, call.name, call.arguments) for _, call in calls]),
        prompt_tokens=record.prompt_tokens,
        completion_tokens=record.completion_tokens,
        reasoning_tokens=record.reasoning_tokens,
    )
