"""The handlers of InferenceService, served over gRPC and trunk alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Ended, Handler, Responder
from libs.rpc.method import method
from libs.rpc.started import started
from services.inference import convert
from services.inference.domain.model import Capabilities, Capacity, ModelCard
from services.inference.domain.output.delta import Delta
from services.inference.domain.tools import openai_tools
from services.inference.usecases.activity import Activity
from services.inference.usecases.generate import GenerateTokens
from services.inference.usecases.relay import RelayMessages
from services.inference.usecases.watch import State, StateBoard

_SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
GENERATE = method(_SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)
DESCRIBE_MODEL = method(_SERVICE, "DescribeModel", pb.DescribeModelRequest, pb.DescribeModelResponse)
FETCH_TOKENIZER = method(_SERVICE, "FetchTokenizer", pb.FetchTokenizerRequest, pb.FetchTokenizerResponse)
RENDER = method(_SERVICE, "Render", pb.RenderRequest, pb.RenderResponse)
COUNT = method(_SERVICE, "Count", pb.CountRequest, pb.CountResponse)
WATCH_STATE = method(_SERVICE, "WatchState", pb.WatchStateRequest, pb.WatchStateResponse)
DRAIN = method(_SERVICE, "Drain", pb.DrainRequest, pb.DrainResponse)
COUNT_SENT = method(_SERVICE, "CountSent", pb.CountSentRequest, pb.CountSentResponse)
# Who asks for accounts of what was sent: it tells how much a tenant was answered.
_GATEWAYS = frozenset({"gateway"})
_ASKED_MAX = 4096


class PromptCounter(Protocol):
    """Renders messages for inspection. Raises PlatformError."""

    @property
    def estimated(self) -> bool:
        """True when the counts are not the engine's own."""
        ...

    def count(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[str, list[int], int]:
        """Prompt text, its token ids (empty where unknown), and how many there are."""
        ...


class TokenizerParts(Protocol):
    """The files that gateways fetch."""

    def parts(self) -> Any:
        """Iterates over (file, part, bytes of the file)."""
        ...


@dataclass(frozen=True)
class Served:
    """What the handlers serve. Exactly one of `generate` and `relay` is set; `files` None = no tokenizer."""

    card: ModelCard
    capabilities: Capabilities
    capacity: Capacity
    activity: Activity
    board: StateBoard
    counter: PromptCounter
    drain: Callable[[float, bool], None]
    generate: GenerateTokens | None = None
    relay: RelayMessages | None = None
    files: TokenizerParts | None = None


class _Asker:
    """See Caller: writes to the call's responder."""

    __slots__ = ("_encode", "_ended", "_epoch", "_responder", "_send_encoded")

    def __init__(self, responder: Responder[pb.GenerateResponse], epoch: int, ended: Ended) -> None:
        self._responder, self._epoch, self._ended = responder, epoch, ended
        self._send_encoded, self._encode = responder.send_encoded, convert.PlainDeltas(epoch).encode

    def delta(self, delta: Delta) -> None:
        """See Caller."""
        self._responder.send(convert.response(delta, self._epoch))

    def plain(self, choice: int, first_index: int, token_ids: Sequence[int], text: str) -> None:
        """See Caller."""
        self._send_encoded(self._encode(choice, first_index, token_ids, text))

    def ended(self, error: PlatformError | None) -> None:
        """See Caller."""
        self._ended(error)


class InferenceApi:
    """One method per RPC."""

    def __init__(self, served: Served) -> None:
        self._of = served

    def handlers(self) -> list[Handler]:
        """All methods, for RpcServer and InMemoryChannel."""
        return [
            started(GENERATE, self.generate) if self._of.generate else Handler(GENERATE, self.relay),
            Handler(DESCRIBE_MODEL, self.describe_model),
            Handler(FETCH_TOKENIZER, self.fetch_tokenizer),
            Handler(RENDER, self.render),
            Handler(COUNT, self.count),
            Handler(WATCH_STATE, self.watch_state),
            Handler(DRAIN, self.drain),
            Handler(COUNT_SENT, self.count_sent, _GATEWAYS),
        ]

    def generate(
        self, request: pb.GenerateRequest, responder: Responder[pb.GenerateResponse], _info: CallInfo, ended: Ended
    ) -> None:
        """Starts a token engine's answer; the engine's steps push it and end it."""
        generate = self._of.generate
        assert generate is not None  # noqa: S101 - handlers() chose
        generate.check(request.model, request.model_digest)
        running = generate.start(convert.token_work(request), _Asker(responder, request.epoch, ended))
        responder.on_cancel(running.cancel)

    async def relay(
        self, request: pb.GenerateRequest, responder: Responder[pb.GenerateResponse], _info: CallInfo
    ) -> None:
        """Streams a message engine's answer."""
        relay = self._of.relay
        assert relay is not None  # noqa: S101 - handlers() chose
        relay.check(request.model, request.model_digest)
        work = convert.messages_work(request)

        def emit(delta: Delta) -> None:
            responder.send(convert.response(delta, request.epoch))

        task = asyncio.current_task()
        if task is not None:
            responder.on_cancel(task.cancel)  # type: ignore[arg-type]
        await relay.run(work, emit, responder.ready)

    async def describe_model(self, _request: pb.DescribeModelRequest, _info: CallInfo) -> pb.DescribeModelResponse:
        """What the worker serves."""
        return convert.describe(self._of.card, self._of.capabilities, self._of.capacity)

    async def fetch_tokenizer(
        self, request: pb.FetchTokenizerRequest, responder: Responder[pb.FetchTokenizerResponse], _info: CallInfo
    ) -> None:
        """The tokenizer's files in parts, as fast as the caller takes them."""
        if self._of.files is None or request.tokenizer_digest not in {"", self._of.card.tokenizer_digest}:
            raise PlatformError(
                Reason.NOT_FOUND,
                f"this worker has no tokenizer {request.tokenizer_digest[:12]!r}: ask DescribeModel for its digest",
                started=False,
                param="tokenizer_digest",
            )
        for name, part, total in self._of.files.parts():
            responder.send(pb.FetchTokenizerResponse(file=name, part=part, total_bytes=total))
            await responder.ready()

    async def render(self, request: pb.RenderRequest, _info: CallInfo) -> pb.RenderResponse:
        """The prompt, for inspection."""
        text, ids, _ = self._count(request)
        return pb.RenderResponse(text=text, token_ids=ids, estimated=self._of.counter.estimated)

    async def count(self, request: pb.CountRequest, _info: CallInfo) -> pb.CountResponse:
        """How long the prompt is."""
        _, _, tokens = self._count(request)
        return pb.CountResponse(tokens=tokens, estimated=self._of.counter.estimated)

    def _count(self, request: pb.RenderRequest | pb.CountRequest) -> tuple[str, list[int], int]:
        tools = openai_tools(convert.tools_of(request.tools))
        return self._of.counter.count(convert.messages(request.turns), tools)

    async def watch_state(
        self, request: pb.WatchStateRequest, responder: Responder[pb.WatchStateResponse], _info: CallInfo
    ) -> None:
        """The present state with all cached blocks, then every one with what has changed, until the caller leaves."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def end() -> None:
            if not ended.done():
                ended.set_result(None)

        def tell(state: State, *, snapshot: bool = False) -> None:
            try:
                responder.send(self._state(state, snapshot=snapshot))
            except PlatformError:
                end()

        board, boot_id = self._of.board, self._of.card.boot_id
        responder.on_cancel(end)
        first, leave = board.watch(tell, end, after=request.after_sequence if request.boot_id == boot_id else None)
        try:
            if first is not None:
                tell(first, snapshot=True)
            await ended
        finally:
            leave()

    async def drain(self, request: pb.DrainRequest, _info: CallInfo) -> pb.DrainResponse:
        """Begins the drain and returns at once."""
        running = self._of.activity.running
        self._of.drain(request.grace_ms / 1000, request.hand_over)
        return pb.DrainResponse(running=running)

    async def count_sent(self, request: pb.CountSentRequest, _info: CallInfo) -> pb.CountSentResponse:
        """What was sent of the requests that are known here."""
        if len(request.request_ids) > _ASKED_MAX:
            message = f"{len(request.request_ids)} requests are asked for; ask for at most {_ASKED_MAX} at a time"
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="request_ids")
        log = self._of.activity.sent
        sent = [convert.sent(name, sent) for name, sent in log.of(request.request_ids).items()]
        return pb.CountSentResponse(sent=sent, covers_ms=int(log.covers_seconds * 1000))

    def _state(self, state: State, *, snapshot: bool) -> pb.WatchStateResponse:
        return pb.WatchStateResponse(
            boot_id=self._of.card.boot_id,
            sequence=state.sequence,
            snapshot=snapshot,
            running=state.running,
            waiting=state.waiting,
            kv_use=state.kv_use,
            draining=state.draining,
            healthy=state.healthy,
            stored=state.blocks.stored,
            dropped=state.blocks.dropped,
            cleared=state.blocks.cleared,
            blocks_held=state.blocks_held,
            queue_ms=state.queue_ms,
        )
