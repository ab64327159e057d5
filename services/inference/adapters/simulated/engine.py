"""The TokenEngine over the simulated engine process."""

from __future__ import annotations

import asyncio
import os
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

from tokenizers import Tokenizer

from libs.block_hash import unpacked
from libs.chat_template import pack
from libs.errors import PlatformError, Reason
from services.inference.adapters.simulated.faults import Fault, of_session, parse
from services.inference.adapters.simulated.generator import choice_seed
from services.inference.adapters.simulated.guided import guided_text
from services.inference.adapters.simulated.link import Link
from services.inference.adapters.simulated.protocol import Abort, Add, Out, Start, StepOut
from services.inference.adapters.simulated.settings import SimulatedSettings
from services.inference.adapters.simulated.vocabulary import Vocabulary
from services.inference.domain.model import Capabilities, Capacity, EngineLoad, ResumeForm
from services.inference.domain.output.forced_only import ForcedParsers
from services.inference.domain.output.tokens import Step, TokenLogprobs
from services.inference.domain.request import Common, ResumeChoice, Sampling, TokenWork
from services.inference.ports import BlockSink, StepSink

_BYTES_PER_TOKEN = 1  # nothing is stored; the formula of Capacity needs a number


class EngineLink(Protocol):
    """The way to the engine; Link, or the scheduler itself in tests."""

    @property
    def pid(self) -> int:
        """Process id of the engine, 0 = none."""
        ...

    async def open(self, start: Start) -> None:
        """Starts the engine. Raises OSError."""
        ...

    def send(self, command: Add | Abort) -> None:
        """Queues a command; never blocks."""
        ...

    async def close(self) -> None:
        """Ends the engine. A repeat does nothing."""
        ...


LinkMaker = Callable[[Callable[[Sequence[StepOut]], None], Callable[[], None]], EngineLink]


@dataclass(slots=True)
class _Call:
    """A request in the engine; `keys` are those of its unfinished choices."""

    request_id: str
    sink: StepSink
    fault: Fault | None
    keys: set[int] = field(default_factory=set)
    tokens: int = 0
    hung: bool = False


class SimulatedEngine:
    """See TokenEngine. `on_death` is called once when the engine process ends by itself: the worker must exit. `blocks`
    hears of its cache; None = nobody asks.
    """

    def __init__(
        self,
        settings: SimulatedSettings,
        tokenizer: Tokenizer,
        window_tokens: int,
        *,
        eos: int,
        on_death: Callable[[str], None] = lambda _why: None,
        exit_now: Callable[[int], object] = os._exit,
        link: LinkMaker = Link,
        blocks: BlockSink | None = None,
    ) -> None:
        self._settings, self._window, self._eos = settings, window_tokens, eos
        self._vocabulary = Vocabulary(tokenizer, settings.vocabulary, settings.vocabulary_max)
        self._on_death, self._exit_now = on_death, exit_now
        self._blocks = blocks
        self._link = link(self._on_steps, self._on_lost)
        self._numbers = count(1)
        self._choices: dict[int, tuple[_Call, int]] = {}
        self._calls: dict[str, _Call] = {}
        self._load = (0, 0.0)
        self._alive = False
        self._fault = parse(settings.fault)
        self.parsers = ForcedParsers()

    @property
    def pid(self) -> int:
        """Process id of the engine."""
        return self._link.pid

    async def start(self) -> tuple[Capabilities, Capacity]:
        """See TokenEngine."""
        settings = self._settings
        await self._link.open(
            Start(
                words=pack(self._vocabulary.words),
                eos=self._eos,
                eos_probability=settings.eos_probability,
                ttft=settings.ttft_ms / 1000,
                inter_token=settings.inter_token_ms / 1000,
                prefill_per_token=settings.prefill_ms_per_token / 1000,
                block_tokens=settings.block_tokens,
                blocks=settings.blocks,
                running_max=settings.running_max,
                tells_blocks=self._blocks is not None,
            )
        )
        self._alive = True
        return self._capabilities(), self._capacity()

    def submit(self, work: TokenWork, sink: StepSink) -> None:
        """See TokenEngine."""
        common = work.common
        if not self._alive:
            raise PlatformError(Reason.ENGINE_DEAD, "the engine is not running: use another worker", started=False)
        if common.request_id in self._calls:
            raise PlatformError(
                Reason.INVALID_REQUEST, "this request_id is running already: use a new one", started=False
            )
        fault = (of_session(common.session) if self._settings.faults_by_session else None) or self._fault
        self._check_room(common.sampling.n, fault)
        adds = self._adds(work)
        call = _Call(common.request_id, sink, fault)
        self._calls[common.request_id] = call
        for choice, add in adds:
            self._choices[add.key] = (call, choice)
            call.keys.add(add.key)
            self._link.send(add)

    def abort(self, request_id: str) -> None:
        """See TokenEngine."""
        call = self._calls.pop(request_id, None)
        for key in call.keys if call else ():
            del self._choices[key]
            self._link.send(Abort(key))

    def load(self) -> EngineLoad:
        """See TokenEngine."""
        active = len(self._choices)
        running = min(self._load[0], active)
        return EngineLoad(running, active - running, self._load[1] if active else 0.0, self._alive)

    async def close(self) -> None:
        """See TokenEngine."""
        self._alive = False
        self._fail_all(PlatformError(Reason.WORKER_LOST, "the worker is shutting down: use another one"))
        await self._link.close()

    def _check_room(self, choices: int, fault: Fault | None) -> None:
        room = self._settings.running_max + self._settings.waiting_max - len(self._choices)
        if choices > room or (fault is not None and fault.kind == "refuse"):
            raise PlatformError(
                Reason.OVERLOADED,
                "this worker's queue is full: try another worker, or later",
                retry_after_seconds=1.0,
                started=False,
            )

    def _adds(self, work: TokenWork) -> list[tuple[int, Add]]:
        self._check_ids(work)
        prompt = pack(work.prompt)
        resume = {choice.choice: choice for choice in work.resume}
        found = []
        for choice in range(work.common.sampling.n):
            before = resume.get(choice)
            if before is None or not before.finished:
                found.append((choice, self._add(work, prompt, choice, before)))
        return found

    def _check_ids(self, work: TokenWork) -> None:
        if max(work.prompt) >= self._vocabulary.size:
            raise PlatformError(
                Reason.INVALID_REQUEST,
                f"the prompt has token ids beyond the vocabulary of {self._vocabulary.size}",
                started=False,
                param="prompt",
            )

    def _add(self, work: TokenWork, prompt: bytes, choice: int, before: ResumeChoice | None) -> Add:
        sampling = work.common.sampling
        seed = choice_seed(self._settings.seed if sampling.seed is None else sampling.seed, choice)
        output = before.token_ids if before else ()
        return Add(
            key=next(self._numbers),
            prompt=prompt,
            output=pack(output),
            salt=work.cache_salt,
            seed=seed,
            max_tokens=(before.max_tokens if before else 0) or sampling.max_tokens,
            min_tokens=sampling.min_tokens,
            ignore_eos=sampling.ignore_eos,
            stop_ids=list(sampling.stop_token_ids),
            presence=sampling.presence_penalty,
            frequency=sampling.frequency_penalty,
            repetition=1.0 if sampling.repetition_penalty is None else sampling.repetition_penalty,
            bias=_bias(sampling, self._vocabulary.size),
            logprobs=-1 if sampling.logprobs is None else sampling.logprobs,
            script=self._script(work.common, prompt, seed),
            script_at=len(output) if self._settings.resume_guided else 0,
        )

    def _script(self, common: Common, prompt: bytes, seed: int) -> list[int] | None:
        if common.guided is None:
            return None
        return self._vocabulary.encode(guided_text(common.guided, seed ^ zlib.crc32(prompt)))

    def _on_steps(self, steps: Sequence[StepOut]) -> None:
        """Hands on what has arrived together: one step per choice, with all of its tokens, however many came."""
        self._load = (steps[-1].running, steps[-1].kv_use)
        if self._blocks is not None:
            for step in steps:
                if step.stored or step.dropped:
                    self._blocks.dropped(unpacked(step.dropped).tolist())
                    self._blocks.stored(unpacked(step.stored).tolist())
        if len(steps) == 1:
            for out in steps[0].outs:
                self._take_one(out)
            return
        runs: dict[int, list[Out]] = {}
        for step in steps:
            for out in step.outs:
                runs.setdefault(out.key, []).append(out)
        for key, run in runs.items():
            self._take(key, run)

    def _take_one(self, out: Out) -> None:
        """The next token of one choice: nearly always that and nothing else."""
        found = self._choices.get(out.key)
        if found is None:
            return
        call, choice = found
        if call.fault is None and out.finish is None and out.cached < 0 and out.logprobs is None:
            call.sink.on_tokens(choice, (out.token,))
        else:
            self._take(out.key, (out,))

    def _take(self, key: int, outs: Sequence[Out]) -> None:
        """The next tokens of one choice."""
        found = self._choices.get(key)
        if found is None:
            return
        call, choice = found
        if call.fault is None:
            self._deliver(call, choice, outs)
            return
        for out in outs:  # a fault strikes at one token
            if key in self._choices and self._passes(call, call.fault, out, choice):
                self._deliver(call, choice, (out,))

    def _deliver(self, call: _Call, choice: int, outs: Sequence[Out]) -> None:
        first, last = outs[0], outs[-1]
        tokens = (last.token,) if first is last else [out.token for out in outs]
        step = Step(choice, tokens)
        if first.cached >= 0:
            step.cached_tokens, step.queue_seconds = first.cached, first.queue_seconds
        if first.logprobs is not None:
            step.logprobs = [self._spelt(out.logprobs or []) for out in outs]
        if last.finish is not None:
            step.finish, step.stop_token = last.finish, last.stop_token
            self._forget(call, last.key)
        call.sink.on_step(step)

    def _spelt(self, logprobs: Sequence[tuple[int, float]]) -> TokenLogprobs:
        spell = self._vocabulary.bytes_of
        return TokenLogprobs([(token, spell(token), value) for token, value in logprobs])

    def _forget(self, call: _Call, key: int) -> None:
        del self._choices[key]
        call.keys.discard(key)
        if not call.keys:
            del self._calls[call.request_id]

    def _passes(self, call: _Call, fault: Fault, out: Out, choice: int) -> bool:
        """Whether a token of a request with a fault goes on now."""
        call.tokens += 1
        if call.tokens < fault.at:
            return True
        if fault.kind == "die":
            self._exit_now(137)
        if fault.kind == "slow":
            late = fault.seconds * (call.tokens - fault.at + 1)
            asyncio.get_running_loop().call_later(late, self._deliver_late, call, choice, out)
        return False

    def _deliver_late(self, call: _Call, choice: int, out: Out) -> None:
        if out.key in self._choices:
            self._deliver(call, choice, (out,))

    def _on_lost(self) -> None:
        self._alive = False
        if self._blocks is not None:
            self._blocks.cleared()
        self._fail_all(PlatformError(Reason.ENGINE_DEAD, "the engine died while it generated: the worker restarts"))
        self._on_death("the engine process ended")

    def _fail_all(self, error: PlatformError) -> None:
        calls, self._calls, self._choices = list(self._calls.values()), {}, {}
        for call in calls:
            call.sink.on_error(error)

    def _capabilities(self) -> Capabilities:
        return Capabilities(
            guided=True,
            logprobs_max=self._settings.logprobs_max,
            n=True,
            seed=True,
            kv_events=self._blocks is not None,
            cache_salt=True,
            resume=ResumeForm.EXACT,
            resume_guided=self._settings.resume_guided,
            resume_penalties=True,
            tools=True,
            penalties=True,
            logit_bias=True,
        )

    def _capacity(self) -> Capacity:
        settings = self._settings
        tokens = settings.blocks * settings.block_tokens
        return Capacity(
            block_tokens=settings.block_tokens,
            blocks=settings.blocks,
            running_max=settings.running_max,
            waiting_max=settings.waiting_max,
            sessions=tokens // (settings.session_tokens or self._window),
            kv_bytes_per_token=_BYTES_PER_TOKEN,
        )


def _bias(sampling: Sampling, size: int) -> dict[int, float]:
    if sampling.logit_bias and max(sampling.logit_bias) >= size:
        raise PlatformError(
            Reason.INVALID_REQUEST,
            f"logit_bias names a token beyond the vocabulary of {size}",
            started=False,
            param="logit_bias",
        )
    return sampling.logit_bias
