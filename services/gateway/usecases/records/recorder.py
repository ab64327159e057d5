"""Takes the record of every call that ends, off its way: a bounded queue that the writer empties."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any

from libs.clock import Clock
from services.gateway.domain.answer_text import AnswerText
from services.gateway.domain.record import CallRecord
from services.gateway.domain.request_record import RequestRecord, TextState, numbers_of
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Delta, Event
from services.gateway.ports.records import RecordWatch

# Characters of English and code in a token, for a guess at how much a prompt holds without walking over its turns.
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class RecorderLimits:
    """Bounds of what waits to be written. Texts go first: beyond `text_bytes_max` records come without them."""

    records_max: int = 50_000
    text_bytes_max: int = 64 * 2**20
    # A batch is written when so much waits, else after its time.
    batch_records: int = 1000
    batch_bytes: int = 4 * 2**20
    # What is kept of one call: of its answer's channels each, and of prompt and answer together.
    text_characters_max: int = 256 * 1024


@dataclass(slots=True)
class Unwritten:
    """A record and the texts that it does not have yet."""

    record: RequestRecord
    request: ChatRequest | None
    answer: AnswerText | None
    size: int
    retention_days: int
    # The record as it is written.
    line: bytes = b""


class Recorder:
    """See Observer. `full` is set when a batch is there to be written, `some` when anything is."""

    def __init__(self, clock: Clock, watch: RecordWatch, limits: RecorderLimits) -> None:
        self._clock, self._watch, self.limits = clock, watch, limits
        self._answers: dict[str, AnswerText] = {}
        self._waiting: dict[str, Unwritten] = {}
        # What is being written: here until it is found in the index.
        self.taken: dict[str, Unwritten] = {}
        self._bytes = 0
        self.some, self.full = asyncio.Event(), asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting) + len(self.taken)

    def answer(self, request_id: str) -> AnswerText:
        """Where the text of that call's answer goes, until the call ends."""
        text = self._answers[request_id] = AnswerText(self.limits.text_characters_max)
        return text

    def forget(self, request_id: str) -> None:
        """The call is over, whether or not it was recorded. A repeat does nothing."""
        self._answers.pop(request_id, None)

    def ended(self, record: CallRecord) -> None:
        """See Observer."""
        answer, principal = self._answers.pop(record.request_id, None), record.principal
        if principal is None or not principal.records.enabled:
            return
        if len(self) >= self.limits.records_max:
            self._watch.lost("record")
            return
        text, size = self._text(record, principal)
        numbers = numbers_of(record, principal, unix=self._clock.unix(), text=text)
        request = record.request if size else None
        kept = Unwritten(numbers, request, answer if size else None, size, principal.records.retention_days)
        self._waiting[record.request_id] = kept
        self._bytes += size
        self.some.set()
        if len(self._waiting) >= self.limits.batch_records or self._bytes >= self.limits.batch_bytes:
            self.full.set()

    def _text(self, record: CallRecord, principal: Principal) -> tuple[TextState, int]:
        """What becomes of the call's texts, and about how many bytes they are."""
        if not principal.records.store_prompts:
            return TextState.OFF, 0
        if not record.attempts:
            return TextState.NONE, 0  # no worker saw it: a refused call costs nothing, and must not fill the disk
        size = 1 + _CHARACTERS_PER_TOKEN * (record.prompt_tokens + record.completion_tokens)
        size = min(size, self.limits.text_characters_max)
        if self._bytes + size > self.limits.text_bytes_max:
            self._watch.lost("text")
            return TextState.DROPPED, 0
        return TextState.PENDING, size

    def take(self) -> None:
        """Moves the oldest of what waits, a batch at most, to `taken`."""
        taken, limits, size = self.taken, self.limits, 0
        while self._waiting and len(taken) < limits.batch_records and size < limits.batch_bytes:
            name = next(iter(self._waiting))
            one = taken[name] = self._waiting.pop(name)
            size += one.size
        self._bytes -= size
        if len(self._waiting) < limits.batch_records and self._bytes < limits.batch_bytes:
            self.full.clear()
        if not self._waiting:
            self.some.clear()

    def find(self, tenant: str, request_id: str) -> RequestRecord | None:
        """A record that is not written yet, as far as it is known: without its texts."""
        one = self._waiting.get(request_id) or self.taken.get(request_id)
        return one.record if one is not None and one.record.tenant == tenant else None


class RecordedPipeline:
    """The pipeline, with the texts of answers kept for tenants that want them. Others' calls pass by untouched."""

    def __init__(self, pipeline: Any, recorder: Recorder) -> None:
        """`pipeline` is an api.ports.Pipeline, and so is this."""
        self._pipeline, self._recorder = pipeline, recorder
        self.models: Any = pipeline.models
        self.ready: Any = pipeline.ready

    def chat(
        self, request: ChatRequest, principal: Principal, *, request_id: str, write: Any = None, **more: Any
    ) -> AsyncGenerator[list[Event], None]:
        """See api.ports.Pipeline."""
        chat, policy = self._pipeline.chat, principal.records
        if not (policy.enabled and policy.store_prompts):
            events: AsyncGenerator[list[Event], None] = chat(
                request, principal, request_id=request_id, write=write, **more
            )
            return events
        return self._kept(request, principal, request_id, write, more)

    async def _kept(
        self, request: ChatRequest, principal: Principal, request_id: str, write: Any, more: dict[str, Any]
    ) -> AsyncGenerator[list[Event], None]:
        text = self._recorder.answer(request_id)
        # What another gateway has sent of an answer that is taken up here, only its log knows.
        text.cut = more.get("part") is not None
        beside = None if write is None else text.beside(write)
        events = self._pipeline.chat(request, principal, request_id=request_id, write=beside, **more)
        try:
            async for batch in events:
                for event in batch:
                    if type(event) is Delta:
                        text.take(event.response)
                yield batch
        finally:
            # The inner generator's end records the call: it must come before its text is forgotten.
            await events.aclose()
            self._recorder.forget(request_id)
