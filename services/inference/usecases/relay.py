"""Generate with a message engine: its deltas are passed on, numbered and counted."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from libs.clock import Clock
from libs.errors import PlatformError
from services.inference.domain.admission import check_address, check_capabilities, check_sampling
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.output.delta import Delta, Usage
from services.inference.domain.output.parser import ToolPiece
from services.inference.domain.request import MessagesWork
from services.inference.domain.sent import Sent, base_id
from services.inference.ports import MessageDelta, MessageEngine
from services.inference.usecases.activity import Activity

# Of English and code, in most vocabularies. Rounded down: what is charged by it must not pass what was produced.
_BYTES_PER_TOKEN = 4


class RelayMessages:
    """Admits work for a message engine and relays its stream."""

    def __init__(
        self, engine: MessageEngine, card: ModelCard, capabilities: Capabilities, activity: Activity, clock: Clock
    ) -> None:
        self._engine, self._card, self._can = engine, card, capabilities
        self._activity, self._clock = activity, clock

    def check(self, model: str, model_digest: str) -> None:
        """As GenerateTokens.check."""
        self._activity.check_open()
        check_address(self._card, model, model_digest)

    async def run(
        self, work: MessagesWork, emit: Callable[[Delta], None], ready: Callable[[], Awaitable[None]]
    ) -> None:
        """Streams until the end; cancelling it aborts the upstream call. Raises PlatformError."""
        check_sampling(work.common.sampling)
        check_capabilities(work.common, self._can, resumes=False)
        call = _Relay(work, self._clock)
        self._activity.opened(call)
        error: PlatformError | None = None
        try:
            async with aclosing(self._engine.generate(work)) as deltas:  # type: ignore[type-var]
                async for delta in deltas:
                    self._activity.steps += 1
                    for out in call.pass_on(delta):
                        emit(out)
                    await ready()
            emit(call.last())
        except PlatformError as raised:
            error = raised
            raise
        finally:
            self._activity.closed(call, error)


class _Relay:
    """One relayed call. The finish is held back until usage has come: it must be on the last delta."""

    def __init__(self, work: MessagesWork, clock: Clock) -> None:
        self._common = work.common
        self._clock, self._began = clock, clock.monotonic()
        self._held: list[Delta] = []
        self._bytes = [0] * work.common.sampling.n
        self._awaits_first = True
        self.usage = Usage(estimated=True)

    def cancel(self) -> None:
        """A relay ends with its handler's task."""

    @property
    def counted_as(self) -> str:
        """See CountedCall."""
        return base_id(self._common.request_id, self._common.epoch)

    def sent(self) -> Sent:
        """See CountedCall. Until the endpoint says what it used, the answer's length is all there is to go by."""
        usage, epoch = self.usage, None if self._awaits_first else self._common.epoch
        counts = [size // _BYTES_PER_TOKEN for size in self._bytes] if usage.estimated else [usage.completion_tokens]
        return Sent(usage.prompt_tokens, counts, usage.cached_tokens, epoch, estimated=usage.estimated)

    def pass_on(self, delta: MessageDelta) -> list[Delta]:
        """What may go out now."""
        if delta.has_usage:
            self.usage.prompt_tokens, self.usage.completion_tokens = delta.prompt_tokens, delta.completion_tokens
            self.usage.cached_tokens, self.usage.estimated = delta.cached_tokens, False
        outs = []
        self._count(delta)
        if delta.reasoning:
            outs.append(Delta(delta.choice, text=delta.reasoning, is_reasoning=True))
        if delta.text or delta.tool_calls:
            pieces = [ToolPiece(*piece) for piece in delta.tool_calls]
            outs.append(Delta(delta.choice, text=delta.text, tool_calls=pieces))
        if delta.finish:
            self._held.append(Delta(delta.choice, finish=delta.finish))
        if outs and self._awaits_first:
            self._awaits_first = False
            self.usage.first_token_ms = 1000 * (self._clock.monotonic() - self._began)
        # With n > 1 earlier choices need not wait for the last one's end.
        return [*outs, *(self._held.pop(0) for _ in range(len(self._held) - 1))]

    def _count(self, delta: MessageDelta) -> None:
        size = len(delta.text.encode()) + len(delta.reasoning.encode())
        size += sum(len(name) + len(arguments.encode()) for _, _, name, arguments in delta.tool_calls)
        if size and delta.choice < len(self._bytes):
            self._bytes[delta.choice] += size

    def last(self) -> Delta:
        """The delta that carries the usage."""
        last = self._held.pop() if self._held else Delta(0, finish="stop")
        last.usage = self.usage
        return last
