"""One chat call, from a neutral request to a stream of events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from libs.rpc.api import Stream
from libs.telemetry import Span, tracer
from libs.telemetry.tracing import NO_SPAN
from services.gateway.domain.ledger.told import standing_headers
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Event
from services.gateway.ports import Observer
from services.gateway.usecases.call import Call, Held, Services
from services.gateway.usecases.explain import Explain
from services.gateway.usecases.lane import Write, lane
from services.gateway.usecases.taken_up import TakenUp


class ChatPipeline:
    """The pipeline under every wire protocol; one object for all calls of the process."""

    def __init__(
        self,
        services: Services,
        observers: Sequence[Observer] = (),
        *,
        loaded: Callable[[ModelInfo], bool] | None = None,
    ) -> None:
        """`loaded` says whether a model's tokenizer is in memory; None = calls wait for it, and `ready` does not."""
        self._services = services
        self._loaded = loaded
        self._observers = tuple(observers)
        self._explain = Explain()

    async def chat(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        write: Write | None = None,
        held: Held | None = None,
        part: TakenUp | None = None,
        lost: Callable[[], bool] | None = None,
    ) -> AsyncGenerator[list[Event], None]:
        """Streams the answer in lists of what was ready in one tick: `Started` first, `Ended` last.

        With `write`, plain deltas that come while the iterator is waited for are written by it and left out of the
        lists, unless it refuses them; see lane.py. `held` hears what is left of the caller's limits, before any event.
        With `part`, an empty list comes first when the answer goes on behind it, without `Started`; else it is begun
        anew. `lost` is asked at the end: True leaves the call's hold to another gateway, which goes on with the answer.

        `deadline` is `Clock.monotonic` seconds. To abort the worker's call at once, cancel the task that waits in the
        iterator, or close the iterator between two steps. Raises PlatformError: before `Started` nothing was sent,
        later the answer is interrupted.
        """
        # Not made current: a generator's steps may run in different contexts.
        span = tracer.start("chat") if tracer.enabled else NO_SPAN
        metadata = {"x-request-id": request_id, "x-headrace-tenant": principal.tenant, **span.carry()}
        call = Call(
            self._services, request, principal, request_id=request_id, deadline=deadline, metadata=metadata, held=held,
            inherits=part is not None,
        )  # fmt: skip
        failure = Reason.CANCELLED.value
        try:
            await call.open()
            if part is not None and call.take_up(part):
                yield []
                if call.whole:
                    failure = ""
                    yield [call.end()]
                    return
            while True:
                stream = await _start(call, write)
                try:
                    while batch := await call.run.listen(stream):
                        if call.lacks_room(batch):
                            await call.make_room(batch)
                        events = call.events(batch)
                        if call.cut or call.whole:
                            last = await _last(call, stream, events)
                            failure = ""
                            yield last
                            return
                        if events:
                            yield events
                    raise call.run.cut_short()
                except PlatformError as error:
                    await call.recover(error)
                finally:
                    stream.cancel()
                    call.run.over()
        except (PlatformError, asyncio.CancelledError) as error:
            failure = _failure(error, call)
            instead = await call.instead(error)
            failure = ""
            yield instead
        finally:
            self._close(call, failure, span, lost=lost is not None and lost())

    def _close(self, call: Call, failure: str, span: Span, *, lost: bool) -> None:
        record = call.record
        call.leave()
        if lost:
            call.charge.leave()
        if failure:
            call.note()
            record.ended_at = self._services.clock.monotonic()
            record.error = failure
        call.settle()
        self._explain.ended(record, span)
        for observer in self._observers:
            observer.ended(record)

    def models(self) -> list[ModelInfo]:
        """Every name clients may use, sorted; the last known catalog when the router is away."""
        return self._services.catalog.models()

    def ready(self) -> bool:
        """True when a call could be served: the router is connected, a model has a live worker and is loaded here."""
        catalog, loaded = self._services.catalog, self._loaded
        return catalog.connected() and any(
            model.addresses and (loaded is None or loaded(model)) for model in catalog.models()
        )


def _failure(error: PlatformError | asyncio.CancelledError, call: Call) -> str:
    """Why the call ended; what is refused also tells what is left of the limits."""
    if isinstance(error, PlatformError):
        error.headers = standing_headers(call.charge.standing) | dict(error.headers)
        return error.reason.value
    # A client that leaves cancels without a word. Whoever says why is the gateway, whose grace is over.
    return (Reason.DRAINING if any(error.args) else Reason.CANCELLED).value


async def _start(call: Call, write: Write | None) -> Stream[GenerateResponse]:
    """The stream of the next attempt, whose plain deltas `write` is given."""
    stream = await call.start()
    if write is not None:
        if call.kept is not None:
            write = call.kept.beside(write)
        stream.tap(lane(call.run, write))
    return stream


async def _last(call: Call, stream: Stream[GenerateResponse], events: list[Event]) -> list[Event]:
    """The end of an answer that is whole, or cut where no more could be held."""
    rest = call.finish_cut() if call.cut else await _rest(call, stream)
    return [*events, *rest, call.end()]


async def _rest(call: Call, stream: Stream[GenerateResponse]) -> list[Event]:
    """What follows the last finish reason (usage, mostly), so that all of it leaves in one write with the end."""
    events: list[Event] = []
    try:
        while batch := await call.run.listen(stream):
            events += call.events(batch)
    except PlatformError:
        # The answer is whole; how its stream ended no longer matters.
        return events
    return events
