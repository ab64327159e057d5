"""The requests that are in the engine: from work to engine requests, and from engine outputs to sinks."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm.admission import Admission
from services.inference.adapters.vllm.backend import Backend
from services.inference.adapters.vllm.grammar import Grammars
from services.inference.adapters.vllm.sampling import arguments, check, check_prompt, refuse
from services.inference.adapters.vllm.settings import VllmSettings
from services.inference.adapters.vllm.steps import joined, only_tokens, step_of
from services.inference.domain.request import Guided, ResumeChoice, TokenWork
from services.inference.ports import Step, StepSink


@dataclass(slots=True)
class _Choice:
    """One choice, a request of its own in the engine."""

    call: _Call
    number: int
    engine_id: str
    prompt: list[int]
    arguments: dict[str, Any]
    resumed: list[int]


@dataclass(slots=True)
class _Call:
    """One request. `trying` is the task that tries out its grammar; `choices` are those not finished."""

    work: TokenWork
    sink: StepSink
    since: float
    choices: dict[str, _Choice] = field(default_factory=dict)
    trying: asyncio.Task[None] | None = None


class Calls:
    """Owns every request between submit and its end. All methods run on the event loop and none blocks."""

    def __init__(self, settings: VllmSettings, backend: Backend, grammars: Grammars, clock: Clock) -> None:
        self._backend = backend
        self._grammars = grammars
        self._clock = clock
        self._admission = Admission(settings.max_num_seqs, settings.waiting_max)
        self._sandbox_free = asyncio.Lock()
        self._numbers = count()
        self._calls: dict[str, _Call] = {}
        self._choices: dict[str, _Choice] = {}

    @property
    def seeds(self) -> bool:
        """False where a seed would kill the engine: chunked prefill on vLLM 0.32's CPU backend."""
        return not (self._backend.is_cpu and self._backend.chunked)

    @property
    def active(self) -> int:
        """Choices in the engine or before it."""
        return self._admission.active

    @property
    def idle(self) -> bool:
        """True when nothing is in the engine."""
        return self._admission.active == 0

    def submit(self, work: TokenWork, sink: StepSink) -> None:
        """See TokenEngine.submit."""
        self._check(work)
        guided = work.common.guided
        new = guided is not None and not self._grammars.known(guided)
        call = self._call(work, sink)
        self._admission.enter(len(call.choices))
        self._calls[work.common.request_id] = call
        if guided is not None and new:
            call.trying = asyncio.create_task(self._try_out(call, guided), name="try-grammar")
        else:
            self._send(call)

    def _check(self, work: TokenWork) -> None:
        common = work.common
        if common.request_id in self._calls:
            raise refuse(f"request {common.request_id} is running here already: use a new id", "request_id")
        if common.sampling.seed is not None and not self.seeds:
            raise refuse(
                "this worker runs chunked prefill on a CPU and takes no seed: leave it out",
                "seed",
                Reason.UNSUPPORTED_PARAMETER,
            )
        check(common, self._backend.limits)
        check_prompt(work.prompt, 0, self._backend.limits)
        for choice in work.resume:
            check_prompt([*choice.token_ids, 0], len(work.prompt) - 1, self._backend.limits)

    def _call(self, work: TokenWork, sink: StepSink) -> _Call:
        call = _Call(work, sink, self._clock.monotonic())
        resume = {choice.choice: choice for choice in work.resume}
        for number in range(work.common.sampling.n):
            before = resume.get(number)
            if before is None or not before.finished:
                choice = self._choice(call, number, before)
                call.choices[choice.engine_id] = choice
        if not call.choices:
            raise refuse("every choice of the resumed request is finished: there is nothing to generate", "resume")
        return call

    def _choice(self, call: _Call, number: int, before: ResumeChoice | None) -> _Choice:
        common, limits = call.work.common, self._backend.limits
        resumed = list(before.token_ids) if before else []
        prompt = call.work.prompt + resumed
        return _Choice(
            call=call,
            number=number,
            engine_id=f"{common.request_id}/{number}/{next(self._numbers)}",
            prompt=prompt,
            arguments=arguments(
                common.sampling,
                self._backend.defaults,
                limits,
                choice=number,
                room=limits.window - len(prompt),
                resume=before,
            ),
            resumed=resumed,
        )

    async def _try_out(self, call: _Call, guided: Guided) -> None:
        try:
            async with self._sandbox_free:  # one thread waits for the sandbox, not all that the loop has
                if not self._grammars.known(guided):
                    self._grammars.learn(guided, await asyncio.to_thread(self._grammars.try_out, guided))
        except PlatformError as error:
            self._fail(call, error)
        else:
            self._send(call, late=True)

    def _send(self, call: _Call, *, late: bool = False) -> None:
        """Gives the call to the engine. An error is raised, or (`late`) told to the sink; either ends the call."""
        common = call.work.common
        try:
            for choice in call.choices.values():
                self._backend.add(
                    choice.engine_id,
                    choice.prompt,
                    choice.arguments,
                    guided=common.guided,
                    resumed=choice.resumed,
                    cache_salt=call.work.cache_salt,
                    adapter=common.adapter,
                )
                self._choices[choice.engine_id] = choice
        except PlatformError as error:
            self._drop(call)
            if not late:
                raise
            call.sink.on_error(error)

    def deliver(self, steps: Sequence[Sequence[Any]]) -> None:
        """Hands the outputs of engine steps to their sinks; outputs of aborted requests are dropped.

        Steps that have arrived together are one to a sink: it has all the tokens, and nothing waits for more of them.
        First tokens of a step that came alone go first: hundreds of others before them would be felt as time to the
        first token.
        """
        if len(steps) == 1:
            for output in sorted(steps[0], key=_has_begun):
                self._deliver((output,))
            return
        runs: dict[str, list[Any]] = {}
        for outputs in steps:
            for output in outputs:
                runs.setdefault(output.request_id, []).append(output)
        for run in runs.values():
            self._deliver(run)

    def _deliver(self, outputs: Sequence[Any]) -> None:
        """The next outputs of one choice. One that says that the request failed ends it, after those before it."""
        choice = self._choices.get(outputs[0].request_id)
        if choice is None:
            return
        if len(outputs) == 1 and only_tokens(outputs[0]):
            choice.call.sink.on_tokens(choice.number, outputs[0].new_token_ids)
            return
        steps: list[Step] = []
        failed: PlatformError | None = None
        try:
            for output in outputs:
                steps.append(step_of(output, choice.number, self._backend.token_bytes))  # noqa: PERF401 - keeps those before
        except PlatformError as error:
            failed = error
        if steps:
            step = joined(steps)
            if step.finish is not None:
                self._finished(choice)
            choice.call.sink.on_step(step)
        # The sink may have had enough by then, and the call is gone.
        if failed is not None and choice.engine_id in self._choices:
            self._fail(choice.call, failed)

    def _finished(self, choice: _Choice) -> None:
        call = choice.call
        del self._choices[choice.engine_id]
        del call.choices[choice.engine_id]
        self._admission.leave(self._clock.monotonic() - call.since)
        if not call.choices:
            del self._calls[call.work.common.request_id]

    def abort(self, request_id: str) -> None:
        """See TokenEngine.abort. The sink hears no more."""
        if call := self._calls.get(request_id):
            self._drop(call)

    def _fail(self, call: _Call, error: PlatformError) -> None:
        self._drop(call)
        call.sink.on_error(error)

    def _drop(self, call: _Call) -> None:
        """Forgets a call and has the engine drop what it has of it."""
        del self._calls[call.work.common.request_id]
        if call.trying and call.trying is not asyncio.current_task():
            call.trying.cancel()
        there = [engine_id for engine_id in call.choices if self._choices.pop(engine_id, None)]
        for _ in call.choices:
            self._admission.leave()
        if there:
            self._backend.abort(there)

    def fail_all(self, error: PlatformError) -> None:
        """Ends every call with an error."""
        for call in list(self._calls.values()):
            self._fail(call, error)


def _has_begun(output: Any) -> bool:
    return output.prefill_stats is None
