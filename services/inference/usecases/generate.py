"""Generate with a token engine: one `Generation` per call, driven by engine steps, without a task per token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.inference.domain.admission import (
    check_address,
    check_capabilities,
    check_sampling,
    check_window,
    with_forced_tools,
)
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.output.delta import Delta, Usage
from services.inference.domain.output.tokens import Step
from services.inference.domain.request import TokenWork
from services.inference.domain.sent import Sent, base_id
from services.inference.ports import TokenEngine
from services.inference.usecases.activity import Activity
from services.inference.usecases.outputs import Outputs


class Caller(Protocol):
    """Who asked. Nothing here blocks; `delta` and `plain` raise PlatformError once the caller takes no more."""

    def delta(self, delta: Delta) -> None:
        """A delta."""
        ...

    def plain(self, choice: int, first_index: int, token_ids: Sequence[int], text: str) -> None:
        """A delta that has these fields and no others, as most have: the hot path, which spares an object each."""
        ...

    def ended(self, error: PlatformError | None) -> None:
        """The end, once; nothing comes after it. None = every choice has finished."""
        ...


class GenerateTokens:
    """Admits work and starts it. Nothing here blocks: a refusal comes within the tick."""

    def __init__(
        self,
        engine: TokenEngine,
        card: ModelCard,
        capabilities: Capabilities,
        outputs: Outputs,
        activity: Activity,
        clock: Clock,
    ) -> None:
        self._engine, self._card, self._can = engine, card, capabilities
        self._outputs, self._activity, self._clock = outputs, activity, clock

    def check(self, model: str, model_digest: str) -> None:
        """Refuses a request that belongs elsewhere, before it is even decoded. Raises PlatformError."""
        self._activity.check_open()
        check_address(self._card, model, model_digest)

    def start(self, work: TokenWork, caller: Caller) -> Generation:
        """Submits the work; deltas and the end go to `caller`, maybe before this returns.

        Raises PlatformError (not started); then the caller hears nothing.
        """
        self._activity.check_open()
        check_sampling(work.common.sampling)
        check_capabilities(work.common, self._can, resumes=bool(work.resume))
        check_window(work, self._card.window_tokens)
        # The window and the limits above bound what the parsers and the replay below may cost.
        if work.common.tool_choice.mode in {"named", "required"}:
            work = TokenWork(with_forced_tools(work.common), work.prompt, work.cache_salt, work.resume)
        generation = Generation(work, self._engine, self._outputs, caller, self._activity, self._clock)
        generation.submit()
        return generation


class Generation:
    """One running call: the engine's StepSink."""

    __slots__ = (
        "_activity",
        "_awaits_first",
        "_before",
        "_began",
        "_caller",
        "_choices",
        "_clock",
        "_engine",
        "_open",
        "_over",
        "_usage",
        "_work",
    )

    def __init__(
        self, work: TokenWork, engine: TokenEngine, outputs: Outputs, caller: Caller, activity: Activity, clock: Clock
    ) -> None:
        self._work, self._engine, self._caller = work, engine, caller
        self._activity, self._clock = activity, clock
        self._choices = outputs.choices(work)
        self._usage = Usage(prompt_tokens=len(work.prompt))
        self._before, self._open = 0, 0
        for choice in self._choices:
            self._before += choice.tokens
            self._open += choice.finish is None
        self._began = clock.monotonic()
        self._awaits_first = True
        self._over = False

    @property
    def usage(self) -> Usage:
        """Counts so far; whole once the call has ended."""
        return self._usage

    @property
    def counted_as(self) -> str:
        """See CountedCall."""
        common = self._work.common
        return base_id(common.request_id, common.epoch)

    def sent(self) -> Sent:
        """See CountedCall. A step on which the caller was found to have gone counts: the engine has produced it."""
        counts = [choice.tokens for choice in self._choices]
        epoch = None if self._awaits_first else self._work.common.epoch
        return Sent(self._usage.prompt_tokens, counts, self._usage.cached_tokens, epoch)

    def submit(self) -> None:
        """Gives the work to the engine. Raises PlatformError(started=False)."""
        if self._open:
            self._engine.submit(self._work, self)
            self._activity.opened(self)
        if self._work.resume:
            self._tell_resumed_ends()
        if not self._open:
            self._close(None)

    def _tell_resumed_ends(self) -> None:
        ends = [end for choice in self._choices if (end := choice.resumed_end()) is not None]
        for position, end in enumerate(ends):
            if not self._open and position == len(ends) - 1:
                self._complete(end)
            self._caller.delta(end)

    def on_step(self, step: Step) -> None:
        """See StepSink."""
        if self._over:
            return
        self._activity.steps += 1
        choice = self._choices[step.choice]
        deltas = choice.feed(step)
        if not deltas:
            return
        if self._awaits_first:
            self._first(step, deltas[0])
        if choice.finish is not None:
            self._finish_choice(deltas[-1])
        try:
            for delta in deltas:
                self._caller.delta(delta)
        except PlatformError as error:
            self._abort(error)
            return
        if not self._open:
            self._close(None)

    def on_tokens(self, choice: int, token_ids: Sequence[int]) -> None:
        """See StepSink."""
        if self._over:
            return
        output = self._choices[choice]
        if self._awaits_first or not output.plain:
            self.on_step(Step(choice, token_ids))
            return
        self._activity.steps += 1
        first, text = output.tokens, output.take(token_ids)
        try:
            self._caller.plain(choice, first, token_ids, text)
        except PlatformError as error:
            self._abort(error)

    def on_error(self, error: Exception) -> None:
        """See StepSink."""
        if not isinstance(error, PlatformError):
            error = PlatformError(Reason.INTERNAL, f"the engine failed: {type(error).__name__}")
        self._close(error)

    def cancel(self) -> None:
        """The caller has gone: the engine drops the work within this tick. A repeat does nothing."""
        if not self._over:
            self._abort(PlatformError(Reason.CANCELLED, "the caller has gone"))

    def _first(self, step: Step, delta: Delta) -> None:
        """The first delta says what is known by then, so that response headers can be true."""
        self._awaits_first = False
        usage = self._usage
        usage.cached_tokens = step.cached_tokens or 0
        usage.queue_ms = 1000 * (step.queue_seconds or 0.0)
        now = self._clock.monotonic()
        usage.first_token_ms = 1000 * (now - self._began)
        self._activity.queue_ms.add(now, usage.queue_ms)
        delta.usage = Usage(usage.prompt_tokens, 0, usage.cached_tokens, 0, usage.queue_ms, usage.first_token_ms)

    def _finish_choice(self, last: Delta) -> None:
        self._open -= 1
        if not self._open:
            self._complete(last)

    def _complete(self, last: Delta) -> None:
        """Puts the usage on the very last delta of the call."""
        tokens, stopped = -self._before, False
        for choice in self._choices:
            tokens += choice.tokens
            self._usage.reasoning_tokens += choice.reasoning_tokens
            stopped = stopped or choice.stopped_by_text
        self._usage.completion_tokens = tokens
        last.usage = self._usage
        if stopped:
            # The engine knows no stop strings and would go on.
            self._engine.abort(self._work.common.request_id)

    def _abort(self, error: PlatformError) -> None:
        self._engine.abort(self._work.common.request_id)
        self._close(error)

    def _close(self, error: PlatformError | None) -> None:
        if self._over:
            return
        self._over = True
        self._activity.closed(self, error)
        self._caller.ended(error)
