"""Jobs in memory, and a gateway and a router that a test can break: what running parts is tried on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from headrace.gateway.v1.work_pb2 import Work

from libs.errors import PlatformError, Reason
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.domain.agenda import Due
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.gate import GateRule
from services.jobs.domain.job import Batch, Caller, Job, NewJob, PartSpec, Request, Usage
from services.jobs.ports.neighbours import Again, Performed, Reserved, Room
from services.jobs.usecases.attempts import AttemptDesk, AttemptTimes
from services.jobs.usecases.gate import Gate, GateLimits
from services.jobs.usecases.runner import Runner, RunnerLimits, RunnerMeans
from services.jobs.usecases.steps import Steps, StepTimes

TENANT = "acme"
CALLER = Caller(TENANT, "key-1", "ann")
ANSWER = b'{"choices":[]}'


@dataclass
class FakeGateways:
    """Answers each key once, after `seconds`, whoever asks how often; charges once. `failures` come first, per key."""

    clock: FakeClock
    seconds: float = 1.0
    body: bytes = ANSWER
    status: int = 200
    failures: dict[str, list[PlatformError]] = field(default_factory=dict)
    always: PlatformError | None = None
    made: dict[str, float] = field(default_factory=dict)
    asked: Counter = field(default_factory=Counter)
    charged: Counter = field(default_factory=Counter)
    released: list[str] = field(default_factory=list)
    abandoned: list[str] = field(default_factory=list)
    timeouts: list[float] = field(default_factory=list)
    running: int = 0
    running_max: int = 0

    async def reserve(self, reservation: str, caller: Caller, works: Sequence[bytes], *, batch: bool) -> Reserved:
        return Reserved(1_000 * len(works), ("m",) * len(works))

    async def release(self, tenant: str, reservations: Sequence[str]) -> None:
        self._fail("release")
        self.released.extend(reservations)

    async def perform(
        self, tenant: str, reservation: str, work: bytes, key: str, *, timeout: float, again: Again | None = None
    ) -> AsyncGenerator[Performed, None]:
        if reservation in self.released and again is None:
            raise PlatformError(Reason.CONFLICT, "the reservation was released")
        self.asked[key] += 1
        self.timeouts.append(timeout)
        self._fail(key)
        self.running += 1
        self.running_max = max(self.running_max, self.running)
        try:
            replayed = key in self.made
            ends_at = self.made.setdefault(key, self.clock.monotonic() + self.seconds)
            while (left := ends_at - self.clock.monotonic()) > 0:
                yield Performed(tokens=7)
                await self.clock.sleep(min(left, 1.0))
            if not self.charged[key]:
                self.charged[key] += 1
            yield Performed(7, self.status, self.body, f"req-{key}", Usage(3, 1, 7, 100), replayed)
        finally:
            self.running -= 1

    async def abandon(self, tenant: str, reservation: str, key: str) -> None:
        self.abandoned.append(key)

    def _fail(self, key: str) -> None:
        if self.always is not None:
            raise self.always
        if self.failures.get(key):
            raise self.failures[key].pop(0)


@dataclass
class FakeCapacity:
    """Tells `room` ten times a second; `away` breaks the word off."""

    clock: FakeClock
    room: Room = field(default_factory=lambda: Room(1000, 0, 0, 0, 4))
    away: PlatformError | None = None
    watched: list[str] = field(default_factory=list)

    async def watch(self, pool: str) -> AsyncGenerator[Room, None]:
        self.watched.append(pool)
        while True:
            if self.away is not None:
                raise self.away
            yield self.room
            await self.clock.sleep(0.1)


@dataclass
class Observed:
    """Every observer."""

    counts: Counter = field(default_factory=Counter)

    def begun(self, verdict) -> None:
        self.counts[f"begun {verdict}"] += 1

    def late(self, kind: str) -> None:
        self.counts[f"late {kind}"] += 1

    def step(self, outcome: str) -> None:
        self.counts[f"step {outcome}"] += 1

    def held(self, seconds: float) -> None:
        self.counts["held"] += 1

    def crowded(self) -> None:
        self.counts["crowded"] += 1

    def did(self, task: str, outcome: str, count: int = 1) -> None:
        self.counts[f"{task} {outcome}"] += count

    def ended(self, job: Job) -> None:
        self.counts[f"ended {job.state}"] += 1


class NoFiles:
    """No batch has a file here; `written` are those whose outputs were asked for."""

    def __init__(self) -> None:
        self.written: list[str] = []

    async def requests_of(self, job: Job, part: PartSpec) -> Sequence[Request]:
        raise PlatformError(Reason.NOT_FOUND, "there are no files here")

    async def write_outputs(self, job: Job) -> Batch:
        self.written.append(job.id)
        assert job.batch is not None
        return Batch(job.batch.input_file_id, job.batch.endpoint, "file-out", "file-err")


class World:
    """A store, a gateway, and consumers over them."""

    def __init__(self, *, rule: GateRule | None = None, held_seconds: float = 120.0, **times: float) -> None:
        self.clock = FakeClock()
        self.store = MemoryJobs(self.clock)
        self.gateways = FakeGateways(self.clock)
        self.capacity = FakeCapacity(self.clock)
        self.blobs = MemoryBlobs()
        self.files = NoFiles()
        self.seen = Observed()
        self.rule = rule or GateRule()
        self.held_seconds = held_seconds
        self.times = times
        self.woken: list[str] = []
        self._loops: list[asyncio.Task] = []

    async def job(
        self, name: str = "job_1", steps: int = 1, *, parts: int = 1, expires: int = 3600, **more: object
    ) -> Job:
        """A job that is requested, each part with so many steps."""
        specs = tuple(PartSpec(number, number * steps, steps, name, ("m",) * steps) for number in range(parts))
        work = Work(body=b"{}", path="/v1/chat/completions").SerializeToString()
        requests = tuple(Request(step, f"c{step}", work, "m") for step in range(steps * parts))
        values = {"parts": specs, "requests": requests, **more}
        await self.store.create(NewJob(name, CALLER, "f", expires, **values))
        confirmed = await self.store.confirm(TENANT, name, 1000)
        assert confirmed is not None
        return confirmed

    def consumer(self, owner: str = "one", *, steps_max: int = 16, attempts_max: int = 8) -> Runner:
        """A consumer's runner, with a desk and a gate of its own. `close` ends them."""
        times = AttemptTimes(15.0, attempts_max)
        desk = AttemptDesk(
            self.store, self.store, self.clock, times, self.seen,
            owner=owner, wake=self.woken.append, uniform=lambda: 0.5,
        )  # fmt: skip
        limits = GateLimits(self.rule, 60.0, self.held_seconds)
        gate = Gate(self.capacity, self.clock, limits, self.seen, uniform=lambda: 0.5)
        step_times = StepTimes(held_seconds=self.held_seconds, **self.times)
        steps = Steps(desk, gate, self.gateways, self.blobs, self.clock, step_times, self.seen, uniform=lambda: 0.5)
        means = RunnerMeans(desk, steps, self.store, self.files)
        limits_ = RunnerLimits(steps_max, self.held_seconds)
        self._loops += [asyncio.create_task(desk.run()), asyncio.create_task(gate.run())]
        return Runner(means, self.clock, limits_, self.seen, uniform=lambda: 0.5)

    async def close(self) -> None:
        for task in self._loops:
            task.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def get(self, name: str = "job_1") -> Job:
        found = await self.store.get(TENANT, name)
        assert found is not None
        return found

    async def due(self) -> list[Due]:
        """What is due now, claimed for a second."""
        return list(await self.store.claim(TENANT, 100, 1000))


def key(part: int = 0, name: str = "job_1") -> PartKey:
    return PartKey(name, part)


def failing(reason: Reason, retry_after: float | None = None) -> PlatformError:
    return PlatformError(reason, f"{reason} for a test", retry_after_seconds=retry_after)
