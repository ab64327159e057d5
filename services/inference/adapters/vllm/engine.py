"""The TokenEngine over vLLM: one loop takes the engine's steps and hands each to all sinks in one tick."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

import structlog

from libs.clock import Clock, SystemClock
from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm import capacity
from services.inference.adapters.vllm.backend import Backend, build
from services.inference.adapters.vllm.calls import Calls
from services.inference.adapters.vllm.grammar import Grammars
from services.inference.adapters.vllm.keeper import Keeper
from services.inference.adapters.vllm.kv_stream import KvEndpoints, KvStream
from services.inference.adapters.vllm.settings import VllmSettings
from services.inference.domain.model import Capabilities, Capacity, EngineLoad, ResumeForm
from services.inference.domain.output.parser import OutputParsers
from services.inference.domain.request import Common, Sampling, TokenWork
from services.inference.ports import Step, StepSink


class VllmEngine:
    """See TokenEngine. `on_death` is called once, on the event loop, when the engine has died: the worker must exit.

    `kv` takes its KV events; None = they stay off.
    """

    def __init__(
        self,
        settings: VllmSettings,
        model_path: str,
        *,
        clock: Clock | None = None,
        on_death: Callable[[str], None] = lambda _why: None,
        build: Callable[[VllmSettings, str, KvEndpoints | None], Backend] = build,
        kv: KvStream | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._on_death = on_death
        self._kv = kv
        self._kv_endpoints: KvEndpoints | None = None
        self._keeper = Keeper(lambda: build(settings, model_path, self._kv_endpoints), lambda backend: backend.close())
        self._backend: Backend | None = None
        self._calls: Calls | None = None
        self._steps: asyncio.Task[None] | None = None
        self._running = 0
        self._kv_use = 0.0
        self._last_step = 0.0
        self._dead = False

    async def start(self) -> tuple[Capabilities, Capacity]:
        """See TokenEngine. Raises PlatformError when the engine cannot hold one session, and what vLLM raises."""
        os.environ.update(self._settings.environment())
        try:
            if self._kv is not None:
                self._kv_endpoints = self._kv.open()
            self._backend = backend = await self._keeper.start(self._settings.start_seconds_max)
            room = self._plan(backend)
            grammars = Grammars(backend.sandbox, self._settings.grammar_bytes_max)
            self._calls = Calls(self._settings, backend, grammars, self._clock)
            self._steps = asyncio.create_task(self._take_steps(backend, self._calls), name="engine-steps")
            await asyncio.wait_for(self._warm_up(), self._settings.start_seconds_max)
            told = self._kv is not None and await self._kv.begin(room.block_tokens)
        except BaseException:
            await self.close()
            raise
        return _capabilities(self._settings, seeds=self._calls.seeds, kv_events=told), room

    def _plan(self, backend: Backend) -> Capacity:
        if words := capacity.mismatch(backend.figures):
            structlog.get_logger(__name__).warning("kv_capacity_mismatch", difference=words)
        return capacity.plan(
            backend.figures,
            window=backend.limits.window,
            session_tokens=self._settings.session_tokens,
            running_max=self._settings.max_num_seqs,
            waiting_max=self._settings.waiting_max,
        )

    async def _warm_up(self) -> None:
        """Generates one token, so that "started" means "can answer"."""
        first = _FirstToken()
        self.submit(TokenWork(Common("warm-up", Sampling(max_tokens=1, temperature=0.0)), prompt=[1]), first)
        await first.came

    @property
    def parsers(self) -> OutputParsers:
        """VLLM's parsers for this model's output. Raises RuntimeError before `start` has returned."""
        if self._backend is None:
            raise RuntimeError("the engine has not started: its parsers need the model's tokenizer")
        return self._backend.parsers

    def submit(self, work: TokenWork, sink: StepSink) -> None:
        """See TokenEngine. A grammar not seen before is tried out first; its refusal comes through `on_error`."""
        if self._calls is None or self._dead:
            raise PlatformError(Reason.ENGINE_DEAD, "the engine is not running: the worker restarts", started=False)
        if self._calls.idle:
            self._last_step = self._clock.monotonic()
        self._calls.submit(work, sink)

    def abort(self, request_id: str) -> None:
        """See TokenEngine."""
        if self._calls:
            self._calls.abort(request_id)

    def load(self) -> EngineLoad:
        """See TokenEngine. Unhealthy: not started, died, or silent for `hang_seconds` while requests run."""
        active = self._calls.active if self._calls else 0
        running = min(self._running, active)
        silent = self._clock.monotonic() - self._last_step
        healthy = self._steps is not None and not self._dead and not (active and silent > self._settings.hang_seconds)
        return EngineLoad(running, active - running, self._kv_use if active else 0.0, healthy)

    async def close(self) -> None:
        """See TokenEngine. Running requests end with WORKER_LOST."""
        if self._steps:
            self._steps.cancel()
            await asyncio.gather(self._steps, return_exceptions=True)
            self._steps = None
        if self._calls:
            self._calls.fail_all(PlatformError(Reason.WORKER_LOST, "the worker is shutting down: try another"))
        if self._kv is not None:
            await self._kv.close()
        await self._keeper.close()

    async def _take_steps(self, backend: Backend, calls: Calls) -> None:
        try:
            while True:
                steps = await backend.outputs()
                self._last_step = self._clock.monotonic()
                for step in steps:
                    if (stats := step.scheduler_stats) is not None:
                        self._running, self._kv_use = stats.num_running_reqs, stats.kv_cache_usage
                calls.deliver([step.outputs for step in steps])
        except Exception as error:  # vLLM says by various exceptions that its engine has died
            self._dead = True
            structlog.get_logger(__name__).exception("engine_died")
            calls.fail_all(PlatformError(Reason.ENGINE_DEAD, "the engine died while it generated: the worker restarts"))
            self._on_death(f"{type(error).__name__}: {error}")


class _FirstToken:
    """The sink of the warm-up request."""

    def __init__(self) -> None:
        self.came: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_step(self, step: Step) -> None:
        """See StepSink."""
        if step.token_ids and not self.came.done():
            self.came.set_result(None)

    def on_tokens(self, choice: int, token_ids: Sequence[int]) -> None:
        """See StepSink."""
        self.on_step(Step(choice, token_ids))

    def on_error(self, error: Exception) -> None:
        """See StepSink."""
        if not self.came.done():
            self.came.set_exception(error)


def _capabilities(settings: VllmSettings, *, seeds: bool, kv_events: bool) -> Capabilities:
    return Capabilities(
        guided=True,
        logprobs_max=settings.logprobs_max,
        n=True,
        seed=seeds,
        lora=bool(settings.engine_args.lora_modules),
        kv_events=kv_events,
        cache_salt=True,
        resume=ResumeForm.EXACT,
        # With a reasoning parser the grammar begins after the reasoning, which the resumed tokens may contain.
        resume_guided=not settings.reasoning_parser,
        # vLLM counts presence and frequency on its own output; resumed tokens are prompt to it.
        resume_penalties=False,
        tools=bool(settings.tool_parser),
        reasoning=bool(settings.reasoning_parser),
        penalties=True,
        logit_bias=settings.engine_args.speculative_config is None,
    )
