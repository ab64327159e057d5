"""A scripted pipeline behind the real public face, for tests and benchmarks; nothing else imports this."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from fastapi import FastAPI
from headrace.inference.v1.inference_pb2 import FINISH_REASON_STOP, GenerateResponse

from libs.clock import SystemClock
from libs.errors import PlatformError
from libs.telemetry.metrics import Registry
from services.gateway.api.admin import admin_app
from services.gateway.api.chat_route import ChatRoute, ChatRouteLimits
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.ports import Anonymous, Authenticator, KeyedPipeline, Pipeline
from services.gateway.api.rest import Rest
from services.gateway.api.server import RestServer
from services.gateway.api.watch import Watch
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Delta, Ended, Event, Started
from services.gateway.metrics import RestMetrics
from services.gateway.wire.limits import Limits
from services.gateway.wire.openai_chat_decode import ChatDecoder

# A batch of events, a delta to offer past the iterator, an error to raise, seconds to wait, or an event to wait for.
Step = list[Event] | GenerateResponse | PlatformError | float | asyncio.Event
Script = Callable[[ChatRequest, str], Sequence[Step]]


def started(request: ChatRequest, request_id: str) -> Started:
    """The first event of a scripted answer."""
    claim = request.session
    return Started(request_id, request.model, "inference-0", claim.explicit, claim.source, 7)


def ended(request: ChatRequest, completion_tokens: int = 1) -> Ended:
    """The last event of a scripted answer."""
    claim = request.session
    return Ended(100, completion_tokens, 7, 0, "inference-0", claim.explicit, claim.source, 1, 12.5, 20.0)


def text_script(*texts: str) -> Script:
    """An answer of these deltas, one batch each; the last has the finish reason."""

    def script(request: ChatRequest, request_id: str) -> Sequence[Step]:
        deltas = [GenerateResponse(first_index=i, token_ids=[i], text=text) for i, text in enumerate(texts)]
        deltas[-1].finish = FINISH_REASON_STOP
        batches: list[Step] = [[Delta(delta)] for delta in deltas]
        first, last = batches[0], batches[-1]
        assert isinstance(first, list)  # noqa: S101 - for mypy
        assert isinstance(last, list)  # noqa: S101 - for mypy
        last.append(ended(request, len(texts)))
        first.insert(0, started(request, request_id))
        return batches

    return script


@dataclass
class ScriptedPipeline:
    """Plays a script per call; remembers requests, and how many calls were left before their end."""

    script: Script = field(default_factory=lambda: text_script("Hello", " world"))
    requests: list[ChatRequest] = field(default_factory=list)
    principals: list[Principal] = field(default_factory=list)
    catalog: list[ModelInfo] = field(default_factory=lambda: [ModelInfo("small", "smollm2", "d", "t", 2048, pool=True)])
    is_ready: bool = True
    aborted: int = 0
    running: int = 0
    # What was said by those who cancelled calls.
    cancelled: list[tuple[object, ...]] = field(default_factory=list)

    async def chat(
        self,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        write: Callable[[GenerateResponse, str], bool] | None = None,
        held: Callable[[Standing], None] | None = None,
        part: object = None,
        lost: object = None,
    ) -> AsyncGenerator[list[Event], None]:
        """See Pipeline."""
        del deadline, held, part, lost
        self.requests.append(request)
        self.principals.append(principal)
        self.running += 1
        whole = False
        try:
            for step in self.script(request, request_id):
                if isinstance(step, list):
                    whole = bool(step) and type(step[-1]) is Ended
                    yield step
                elif isinstance(step, GenerateResponse):
                    if write is None or not write(step, step.text):
                        yield [Delta(step)]
                else:
                    await _wait(step)
            whole = True
        except asyncio.CancelledError as error:
            self.cancelled.append(error.args)
            raise
        finally:
            self.running -= 1
            self.aborted += not whole

    def models(self) -> list[ModelInfo]:
        """See Pipeline."""
        return self.catalog

    def ready(self) -> bool:
        """See Pipeline."""
        return self.is_ready


async def _wait(step: PlatformError | float | asyncio.Event) -> None:
    if isinstance(step, PlatformError):
        raise step
    if isinstance(step, asyncio.Event):
        await step.wait()
    else:
        await asyncio.sleep(step)


@dataclass(frozen=True)
class Face:
    """A running public face. `base` is its REST address."""

    port: int
    server: RestServer
    watch: Watch
    registry: Registry

    @property
    def base(self) -> str:
        """Address for HTTP clients."""
        return f"http://127.0.0.1:{self.port}"


@asynccontextmanager
async def public_face(
    pipeline: Pipeline,
    *,
    authenticator: Authenticator | None = None,
    limits: ChatRouteLimits | None = None,
    request_limits: Limits | None = None,
    connections: ConnectionLimits | None = None,
    watch_every: float = 0.02,
    extend: Iterable[Callable[[FastAPI], None]] = (),
    keyed: KeyedPipeline | None = None,
) -> AsyncIterator[Face]:
    """The real routes on a real port of loopback."""
    clock, registry = SystemClock(), Registry()
    watch = Watch(clock, watch_every)
    metrics = RestMetrics(registry, lambda: len(watch))
    door = authenticator or Anonymous()
    decoder, limits = ChatDecoder(request_limits or Limits()), limits or ChatRouteLimits()
    chat = ChatRoute(pipeline, door, decoder, clock, watch, metrics, limits, keyed=keyed)
    admin = admin_app(pipeline, door, registry, created=1, version="0", extend=extend)
    rest = Rest(chat, admin, metrics, clock)
    server = RestServer(rest, "127.0.0.1", 0, limits=connections or ConnectionLimits())
    watching = asyncio.get_running_loop().create_task(watch.run())
    try:
        yield Face(await server.start(), server, watch, registry)
    finally:
        await server.drain(1.0)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
