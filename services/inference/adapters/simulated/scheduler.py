"""Which requests run in a step: waiting ones are admitted while blocks and places last, the youngest gives way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from libs.block_hash import block_hash, block_hashes
from services.inference.adapters.simulated.generator import Writer
from services.inference.adapters.simulated.kv import BlockPool
from services.inference.adapters.simulated.protocol import Add, Out, Start, StepOut, packed_hashes

WriterMaker = Callable[[Add], Writer]


class Request:
    """A choice with its blocks."""

    def __init__(self, add: Add, writer: Writer, now: float) -> None:
        self.key, self.writer, self.since = add.key, writer, now
        self.tokens = bytearray(add.prompt + add.output)
        self.salt = add.salt
        self.hashes: list[int] = []
        self.blank = 0
        self.ready_at = 0.0
        self.cached: int | None = None
        self.queue_seconds = 0.0


class Scheduler:
    """Steps of the engine. Pure but for its state: time comes in."""

    def __init__(self, start: Start, words: Sequence[int]) -> None:
        self._start, self._words = start, words
        self._pool = BlockPool(start.blocks, tells=start.tells_blocks)
        self._waiting: deque[Request] = deque()
        self._running: dict[int, Request] = {}

    @property
    def busy(self) -> bool:
        """Something runs or waits."""
        return bool(self._running or self._waiting)

    def add(self, add: Add, now: float) -> None:
        """Queues a choice."""
        writer = Writer(add, self._words, self._start.eos, self._start.eos_probability)
        self._waiting.append(Request(add, writer, now))

    def abort(self, key: int) -> None:
        """Drops a choice and frees its blocks."""
        if key in self._running:
            self._free(self._running.pop(key))
        else:
            self._waiting = deque(r for r in self._waiting if r.key != key)

    def due(self, last_step: float) -> float:
        """When the next step is worth making."""
        next_step = last_step + self._start.inter_token
        if self._can_admit():
            return next_step
        return max(next_step, min((r.ready_at for r in self._running.values()), default=next_step))

    def step(self, now: float) -> StepOut:
        """One token for every running request whose prefill is done."""
        while self._can_admit():
            self._admit(self._waiting.popleft(), now)
        # Writing one may preempt another.
        outs = [
            self._write(request)
            for request in list(self._running.values())
            if request.ready_at <= now and request.key in self._running
        ]
        # First tokens come first, as from vLLM's adapter: who waits for an answer to begin feels a millisecond more.
        outs.sort(key=lambda out: out.cached < 0)
        came, went = map(packed_hashes, self._pool.changes())
        return StepOut(outs, len(self._running), len(self._waiting), self._pool.use, came, went)

    def _can_admit(self) -> bool:
        if not self._waiting or len(self._running) >= self._start.running_max:
            return False
        return not self._running or self._pool.available > self._blocks_of(self._waiting[0])

    def _blocks_of(self, request: Request) -> int:
        return -(-len(request.tokens) // (4 * self._start.block_tokens))

    def _admit(self, request: Request, now: float) -> None:
        hashes = block_hashes(bytes(request.tokens), self._start.block_tokens, request.salt).tolist()
        tokens = len(request.tokens) // 4
        # The last token is computed in any case: its logits are needed.
        usable = (tokens - 1) // self._start.block_tokens
        cached = self._pool.known(hashes[:usable])
        self._pool.share(hashes[:cached])
        request.hashes = hashes[:cached]
        for key in hashes[cached:]:
            if self._pool.take():
                self._pool.fill(key)
                request.hashes.append(key)
        if len(hashes) < self._blocks_of(request) and self._pool.take():
            request.blank = 1
        fresh = tokens - cached * self._start.block_tokens
        request.ready_at = now + self._start.ttft + fresh * self._start.prefill_per_token
        if request.cached is None:
            request.cached = cached * self._start.block_tokens
            request.queue_seconds = now - request.since
        self._running[request.key] = request

    def _write(self, request: Request) -> Out:
        out = request.writer.next()
        if request.cached is not None and request.cached >= 0:
            out.cached, out.queue_seconds = request.cached, request.queue_seconds
            request.cached = -1
        request.tokens += out.token.to_bytes(4, "little")
        if out.finish is not None:
            self._free(self._running.pop(request.key))
        else:
            self._grow(request)
        return out

    def _grow(self, request: Request) -> None:
        """Takes a block for the next token, when one is due; the youngest other request gives way if none is free."""
        within = len(request.tokens) // 4 % self._start.block_tokens
        if within == 1 or self._start.block_tokens == 1:
            while not self._pool.take():
                if not self._preempt(request):
                    return
            request.blank += 1
        if within == 0 and request.blank:
            self._fill(request)

    def _fill(self, request: Request) -> None:
        """The newest block is full. One whose parent found no room has no hash: nobody could reach it."""
        size, hashes = 4 * self._start.block_tokens, request.hashes
        if len(hashes) != len(request.tokens) // size - 1:
            return
        key = block_hash(bytes(request.tokens[-size:]), request.salt, parent=hashes[-1] if hashes else None)
        self._pool.fill(key)
        request.blank -= 1
        hashes.append(key)

    def _preempt(self, but: Request) -> bool:
        youngest = next((r for r in reversed(self._running.values()) if r is not but), None)
        if youngest is None:
            return False
        self._free(self._running.pop(youngest.key))
        self._waiting.appendleft(youngest)
        return True

    def _free(self, request: Request) -> None:
        self._pool.release(request.hashes, request.blank)
        request.hashes, request.blank = [], 0
