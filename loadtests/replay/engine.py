"""A simulated worker: continuous batching with chunked prefill, on the replay's clock.

A step takes every decoding call one token further and prefills the oldest unfinished prompts with what is left of the
step's token budget, first come, first served (vLLM V1's scheduler with chunked prefill). A step takes

    step_ms + prefill_ms_per_token * prompt tokens + decode_ms_per_call * decoding calls

A call is admitted when it fits among `running_max` and its blocks, its answer's included, fit in the cache: nothing is
preempted. What is found in the cache is not prefilled; the last prompt token always is. Left out: attention's growth
with the context, speculative decoding, transfers. Decode-only steps are equal and taken in one go.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from loadtests.replay.cache import BlockCache
from loadtests.replay.trace import BLOCK_TOKENS, Request


@dataclass(frozen=True, slots=True)
class EngineModel:
    """Times in milliseconds.

    The defaults are a 32B model on two H100: 15,928 prompt tokens/s in chunks of 8,192 are llm-d's published
    calibration of Qwen3-32B (llm-d-router 066c20e, plugins/scheduling/filter/prefixcacheaffinity/README.md), 10 ms is
    the time to read 64 GB of weights at twice 3.35 TB/s. `cache_blocks` of 512 tokens; None = no bound. 600 blocks are
    what 80 GB of memory hold at 256 KiB per token.
    """

    step_ms: float = 10.0
    prefill_ms_per_token: float = 1000 / 15_928
    decode_ms_per_call: float = 0.1
    budget_tokens: int = 8192
    running_max: int = 256
    cache_blocks: int | None = None


@dataclass(slots=True, eq=False)
class Job:
    """One attempt of a request on one worker. `produced`: output tokens that an attempt on another worker had sent."""

    request: Request
    submitted_ms: float
    produced: int = 0
    cached_blocks: int = 0
    prefill_left: int = 0
    stored_to: int = 0
    began_ms: float = math.nan
    ends_at: int = 0

    @property
    def private_blocks(self) -> int:
        """Blocks for the answer."""
        return -(-self.request.output_tokens // BLOCK_TOKENS)


@dataclass(slots=True)
class Step:
    """What runs: `count` equal steps from `began_ms`; `chunks` are the prompts it prefills."""

    began_ms: float
    each_ms: float
    count: int
    chunks: list[tuple[Job, int]] = field(default_factory=list)

    @property
    def ends_ms(self) -> float:
        """When the last of them is over."""
        return self.began_ms + self.each_ms * self.count


class SimWorker:
    """`first_token` and `finished` are called with a job and the time; `changed` after every change of its state."""

    def __init__(
        self,
        name: str,
        model: EngineModel,
        first_token: Callable[[Job, float], None],
        finished: Callable[[Job, float], None],
        changed: Callable[[float], None],
    ) -> None:
        self.name, self._model = name, model
        self._first_token, self._finished, self._changed = first_token, finished, changed
        self.cache = BlockCache(model.cache_blocks)
        self.waiting: deque[Job] = deque()
        self._prefilling: deque[Job] = deque()
        self._decoding: list[tuple[int, int, Job]] = []
        self._decoded = 0
        self._step: Step | None = None
        self.stored: list[int] = []
        self.waits_ms: deque[tuple[float, float]] = deque()
        self.missed_blocks = 0

    @property
    def running(self) -> int:
        """Calls admitted and not over."""
        return len(self._prefilling) + len(self._decoding)

    @property
    def due_ms(self) -> float:
        """When to call `advance`; infinity = nothing runs."""
        return self._step.ends_ms if self._step else math.inf

    def jobs(self) -> list[Job]:
        """Everything it has, waiting or running, with what each has produced."""
        for ends_at, _, job in self._decoding:
            job.produced = job.request.output_tokens - (ends_at - self._decoded)
        return [job for _, _, job in self._decoding] + list(self._prefilling) + list(self.waiting)

    def submit(self, job: Job, now: float) -> None:
        """Takes a call; a run of decode-only steps ends early for it."""
        self.waiting.append(job)
        step = self._step
        if step is None:
            self._begin(now)
        elif not step.chunks:
            step.count = min(step.count, int((now - step.began_ms) / step.each_ms) + 1)
        self._changed(now)

    def advance(self, now: float) -> None:
        """The step is over: tokens come out, calls end, the next one begins."""
        step, self._step = self._step, None
        assert step is not None  # noqa: S101 -- due_ms was finite
        self._decoded += step.count
        for job, tokens in step.chunks:
            self._prefilled(job, tokens, now)
        while self._decoding and self._decoding[0][0] <= self._decoded:
            self._end(heapq.heappop(self._decoding)[2], now)
        self._begin(now)
        self._changed(now)

    def _begin(self, now: float) -> None:
        model = self._model
        budget = model.budget_tokens - len(self._decoding)
        chunks = []
        for job in self._prefilling:
            chunks.append((job, min(budget, job.prefill_left)))
            budget -= chunks[-1][1]
        while budget > 0 and self.waiting and self.running < model.running_max and self._admit(self.waiting[0], now):
            job = self.waiting.popleft()
            self._prefilling.append(job)
            chunks.append((job, min(budget, job.prefill_left)))
            budget -= chunks[-1][1]
        if not chunks and not self._decoding:
            return
        tokens = sum(tokens for _, tokens in chunks)
        each = model.step_ms + model.prefill_ms_per_token * tokens + model.decode_ms_per_call * len(self._decoding)
        count = 1 if chunks else max(1, self._decoding[0][0] - self._decoded)
        self._step = Step(now, each, count, [chunk for chunk in chunks if chunk[1]])

    def _admit(self, job: Job, now: float) -> bool:
        request = job.request
        hits = self.cache.take(request.blocks, job.private_blocks)
        if hits is None:
            return False
        job.cached_blocks = job.stored_to = hits
        job.prefill_left = max(1, request.input_tokens - hits * BLOCK_TOKENS) + job.produced
        job.began_ms = now
        self.missed_blocks += len(request.blocks) - hits
        self.waits_ms.append((now, now - job.submitted_ms))
        return True

    def _prefilled(self, job: Job, tokens: int, now: float) -> None:
        job.prefill_left -= tokens
        request, blocks = job.request, job.request.blocks
        computed = (request.input_tokens + job.produced - job.prefill_left) // BLOCK_TOKENS
        done = min(computed, len(blocks)) if job.prefill_left else len(blocks)
        self.stored.extend(blocks[job.stored_to : done])
        job.stored_to = done
        if job.prefill_left:
            return
        self._prefilling.remove(job)
        self._first_token(job, now)
        left = request.output_tokens - job.produced - 1
        if left <= 0:
            self._end(job, now)
        else:
            job.ends_at = self._decoded + left
            heapq.heappush(self._decoding, (job.ends_at, job.request.number, job))

    def _end(self, job: Job, now: float) -> None:
        self.cache.give_back(job.request.blocks, job.private_blocks)
        self._finished(job, now)
