"""What the worker needs of an engine. Two shapes: engines that take and give tokens, and engines that take messages."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from services.inference.domain.model import Capabilities, Capacity, EngineLoad
from services.inference.domain.output.tokens import Step, TokenLogprobs
from services.inference.domain.request import MessagesWork, Sampling, TokenWork


class StepSink(Protocol):
    """Receives the steps of one request, on the event loop, in order per choice."""

    def on_step(self, step: Step) -> None:
        """Never blocks, never raises."""
        ...

    def on_tokens(self, choice: int, token_ids: Sequence[int]) -> None:
        """As `on_step` with a step that has tokens and nothing else, as most have: the hot path, without the object."""
        ...

    def on_error(self, error: Exception) -> None:
        """The request is over without a finish (engine died, request refused late). Called at most once."""
        ...


class BlockSink(Protocol):
    """Hears which full KV blocks an engine holds, by their salted hashes (libs.block_hash), on the event loop.

    Nothing here blocks or raises.
    """

    def stored(self, hashes: Iterable[int]) -> None:
        """The engine holds these, a parent before its children; once for every copy that it holds."""
        ...

    def dropped(self, hashes: Iterable[int]) -> None:
        """The engine has given up one copy of each; unknown ones do nothing."""
        ...

    def cleared(self) -> None:
        """The engine holds nothing any more, or nobody knows what it holds. A repeat does nothing."""
        ...


class TokenEngine(Protocol):
    """An engine with token ids in and out. Detokenising, stop strings and parsers are the worker's."""

    async def start(self) -> tuple[Capabilities, Capacity]:
        """Loads the model and starts the engine's processes; returns when it could generate."""
        ...

    def submit(self, work: TokenWork, sink: StepSink) -> None:
        """Queues the work. Raises PlatformError(OVERLOADED, started=False) when the queue is full, INVALID_SCHEMA
        or INVALID_REQUEST for what cannot be run; a bad request must never harm the engine.
        """
        ...

    def abort(self, request_id: str) -> None:
        """Ends the work and frees its blocks at the end of the running step. Unknown or repeated ids do nothing."""
        ...

    def load(self) -> EngineLoad:
        """Running, waiting, KV use, and whether the engine still produces."""
        ...

    async def close(self) -> None:
        """Stops the engine's processes. A repeat does nothing."""
        ...


@dataclass(slots=True)
class MessageDelta:
    """What a message engine streams; a tool-call piece is (index, id, name, arguments), usage comes at the end."""

    choice: int = 0
    text: str = ""
    reasoning: str = ""
    tool_calls: list[tuple[int, str, str, str]] = field(default_factory=list)
    finish: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    has_usage: bool = False


class MessageEngine(Protocol):
    """An engine behind somebody else's API: messages in, parsed deltas out, no tokenizer of ours."""

    async def start(self) -> tuple[Capabilities, Capacity]:
        """Checks that the endpoint answers; returns what it can do."""
        ...

    def generate(self, work: MessagesWork) -> AsyncIterator[MessageDelta]:
        """Streams the answer; closing the iterator aborts the upstream call. Raises PlatformError."""
        ...

    def load(self) -> EngineLoad:
        """As TokenEngine."""
        ...

    async def close(self) -> None:
        """As TokenEngine."""
        ...


__all__ = ["MessageDelta", "MessageEngine", "Sampling", "Step", "StepSink", "TokenEngine", "TokenLogprobs"]
