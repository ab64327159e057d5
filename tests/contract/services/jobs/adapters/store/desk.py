"""One tenant's jobs, in memory or in Valkey, with a clock that the test moves."""

from __future__ import annotations

from itertools import count

from libs.testing.clock import FakeClock
from loadtests.ledger.pipe import Pipe
from services.jobs.adapters.memory_store import MemoryJobs
from services.jobs.adapters.store.client import ValkeyJobs
from services.jobs.adapters.store.codec import job_of, part_of, request_of, result_of, unpack
from services.jobs.adapters.store.library import prefix_of
from services.jobs.domain.agenda import Due
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey, Renewal, Return
from services.jobs.domain.entries import entry_of
from services.jobs.domain.job import (
    Batch,
    Caller,
    JobState,
    NewJob,
    PartSpec,
    PartState,
    Request,
    StepResult,
    Usage,
    Webhook,
)
from tests.contract.services.jobs.adapters.store.timed import CLOCK, TIMED

START = 1_700_000_000
HOUR = 3600
KEEP = 7 * 24 * HOUR
LEASE_MS = 30_000
CLAIM_MS = 10_000
HOOK = Webhook("https://example.org/hook", "s" * 16)
FILE = Batch("file-1", "/v1/chat/completions")
_tenants = count()


def spec(number, first=None, steps=1, **more):
    """A part; those before it have as many steps."""
    return PartSpec(number, number * steps if first is None else first, steps, "job", ("small",), **more)


def answer(step, status=200, body=b"\xff\xfe{}", cost=7):
    """A result that a gateway gave. Its body is no text: bytes must stay bytes."""
    return StepResult(step, f"c{step}", status, f"req-{step}", body, "", Usage(10, 4, 5, cost))


def lost(step):
    """A result that is made up for a step of a part that is given up."""
    return StepResult(step, f"c{step}", 500, "", b"given up")


class Desk:
    """Calls the store as the service does. `store` is what is tested; the rest is told by the class beneath."""

    def __init__(self):
        self.tenant = f"tenant{next(_tenants)}"
        self._owners = count(1)

    def new(self, job="job_1", parts=1, steps=1, key="k1", user="ada", **more):
        return NewJob(
            job,
            Caller(self.tenant, key, user),
            "print-1",
            more.pop("expires_seconds", HOUR),
            metadata={"team": "blue"},
            parts=tuple(spec(number, steps=steps) for number in range(parts)),
            requests=tuple(Request(at, f"c{at}", b"\xffwork", "small") for at in range(parts * steps)),
            **more,
        )

    def create(self, job="job_1", parts=1, steps=1, **more):
        return self.do(self.store.create(self.new(job, parts, steps, **more)))

    def confirmed(self, job="job_1", parts=1, steps=1, **more):
        self.create(job, parts, steps, **more)
        return self.confirm(job)

    def add_parts(self, *specs, job="job_1", reserved=0):
        return self.do(self.store.add_parts(self.tenant, job, specs, reserved))

    def confirm(self, job="job_1", reserved=100):
        return self.do(self.store.confirm(self.tenant, job, reserved))

    def refuse(self, error=None, job="job_1"):
        return self.do(self.store.refuse(self.tenant, job, error))

    def end(self, state=JobState.CANCELLED, job="job_1"):
        return self.do(self.store.end(self.tenant, job, state))

    def begin(self, job="job_1", part=0, owner="", lease_ms=LEASE_MS, attempts_max=3, *, replayed=False):
        owner = owner or f"me:{next(self._owners)}"
        ask = BeginAsk(PartKey(job, part), owner, lease_ms, attempts_max, replayed)
        (begun,) = self.do(self.store.begin(self.tenant, [ask]))
        return begun

    def renew(self, epoch, job="job_1", part=0, lease_ms=LEASE_MS, tokens=0):
        (verdict,) = self.do(self.store.renew(self.tenant, [Renewal(PartKey(job, part), epoch, lease_ms, tokens)]))
        return verdict

    def apply(self, epoch, *results, job="job_1", part=0):
        (verdict,) = self.do(self.store.apply(self.tenant, [Effect(PartKey(job, part), epoch, results)]))
        return verdict

    def put_back(self, epoch, *results, job="job_1", part=0, dead=False):
        (verdict,) = self.do(self.store.put_back(self.tenant, [Return(PartKey(job, part), epoch, dead, results)]))
        return verdict

    def get(self, job="job_1"):
        return self.do(self.store.get(self.tenant, job))

    def list(self, *, batches=False, after="", limit=100, key_id="", user=""):
        asked = self.store.list(self.tenant, batches=batches, after=after, limit=limit, key_id=key_id, user=user)
        return [job.id for job in self.do(asked)]

    def requests(self, job="job_1", part=0):
        return self.do(self.store.requests(self.tenant, PartKey(job, part)))

    def results(self, job="job_1", first=0, limit=100):
        return self.do(self.store.results(self.tenant, job, first, limit))

    def parts(self, job="job_1"):
        return self.do(self.store.parts(self.tenant, job))

    def claim(self, limit=100, lease_ms=CLAIM_MS):
        """What is due, as (task, job, part)."""
        found = self.do(self.store.claim(self.tenant, limit, lease_ms))
        assert all(due.tenant == self.tenant for due in found)
        return [(due.task, due.job, due.part) for due in found]

    def done(self, task, job="job_1", part=0):
        return self.do(self.store.done(Due(self.tenant, task, job, part)))

    def later(self, task, at_ms, job="job_1", part=0):
        return self.do(self.store.later(self.tenant, job, task, at_ms, part))

    def told(self, job="job_1", version=None, batch=None):
        version = self.get(job).version if version is None else version
        return self.do(self.store.told(self.tenant, job, version, batch))

    def announce(self, *events):
        return self.do(self.store.announce(self.tenant, events))

    def hooked(self, status, state, job="job_1", version=None):
        version = 1_000_000 if version is None else version
        return self.do(self.store.hooked(self.tenant, job, version, status, state=state))

    def agenda(self):
        """What is planned: (task, job, part) → milliseconds from now on."""
        return {key: due - self.now_ms() for key, due in self.plan().items()}

    def tasks(self, job="job_1"):
        """What a job owes, without SEND's parts."""
        return {task for task, name, _ in self.plan() if name == job}

    def finished(self, job="job_1", parts=1, status=200, **more):
        """A job whose parts have all been done."""
        self.confirmed(job, parts, **more)
        for part in range(parts):
            self.apply(self.begin(job, part).epoch, answer(part, status), job=job, part=part)
        return self.get(job)

    def dead(self, job="job_1", **more):
        """A job whose one part was given up."""
        self.confirmed(job, **more)
        self.put_back(self.begin(job).epoch, lost(0), job=job, dead=True)
        return self.get(job)


class MemoryDesk(Desk):
    def __init__(self, keep=KEEP):
        super().__init__()
        self.clock = FakeClock(unix=float(START))
        self.store = MemoryJobs(self.clock, keep)

    def do(self, coroutine):
        """Nothing in memory waits."""
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("the store in memory waits for something")

    def pass_time(self, seconds):
        self.clock.advance(seconds)

    def now_ms(self):
        return round(self.clock.unix() * 1000)

    def plan(self):
        plans = self.store.of(self.tenant).books.agenda.values()
        return {tuple(entry): due for plan in plans for entry, due in plan.items()}

    def everything(self):
        """All that is kept: by job, and the agenda."""
        records = self.store.of(self.tenant).books.jobs
        return {name: _of_record(record) for name, record in records.items()}, self.plan()

    def close(self):
        pass


class ValkeyDesk(Desk):
    def __init__(self, server, keep=KEEP, library=TIMED):
        super().__init__()
        self.now = START * 1000
        self.pipe = Pipe(server.url)
        try:
            self.pipe.load(library)
        except Exception:
            self.pipe.close()
            raise
        self.store = ValkeyJobs(self.pipe, keep, library)
        self.pass_time(0)

    def do(self, coroutine):
        """Drives a coroutine that may ask several times."""
        replies = None
        try:
            while True:
                replies = self.pipe.now(*coroutine.send(replies))
        except StopIteration as done:
            return done.value

    def pass_time(self, seconds):
        self.now += round(seconds * 1000)
        self.pipe.now(("SET", CLOCK, self.now))

    def now_ms(self):
        return self.now

    def _keys(self, pattern):
        (found,) = self.pipe.now(("KEYS", f"{prefix_of(self.tenant)}:{pattern}"))
        return sorted(key.decode() for key in found)

    def plan(self):
        (found,) = self.pipe.now(("ZRANGE", f"{prefix_of(self.tenant)}:agenda", 0, -1, "WITHSCORES"))
        return {tuple(entry_of(name.decode())): int(due) for name, due in zip(found[::2], found[1::2], strict=True)}

    def everything(self):
        """All that is kept: by job, and the agenda."""
        prefix = f"{prefix_of(self.tenant)}:job:"
        jobs = {}
        for key in self._keys("job:*"):
            (found,) = self.pipe.now(("HGETALL", key))
            fields = {name.decode(): value for name, value in zip(found[::2], found[1::2], strict=True)}
            jobs[key.removeprefix(prefix)] = _of_fields(self.tenant, fields)
        return jobs, self.plan()

    def lists(self):
        """The lists of jobs that are kept, with their lengths."""
        keys = self._keys("list:*")
        lengths = self.pipe.now(*(("XLEN", key) for key in keys)) if keys else []
        return {
            key.removeprefix(f"{prefix_of(self.tenant)}:list:"): length
            for key, length in zip(keys, lengths, strict=True)
        }

    def close(self):
        self.pipe.close()


def _of_record(record):
    parts = {
        number: (
            part.spec, part.state, part.epoch, part.attempt, part.owner, part.lease_ms, part.tokens, sorted(part.dead)
        )
        for number, part in record.parts.items()
    }  # fmt: skip
    ends = record.end_version, record.announced
    return record.job(), ends, parts, record.requests, record.results


def _of_fields(tenant, fields):
    s = unpack(fields["s"])
    job = job_of(tenant, [fields.get(name) for name in "sichbe"])
    parts = {number: _part_of_fields(fields, number) for number in range(s[8])}
    assert s[5] == sum(part[1] in (PartState.WAITING, PartState.RUNNING) for part in parts.values())
    assert s[6] == sum(part[1] is PartState.DEAD for part in parts.values())
    requests = {int(name[1:]): request_of(int(name[1:]), value) for name, value in fields.items() if name[0] == "q"}
    results = {int(name[1:]): result_of(int(name[1:]), value) for name, value in fields.items() if name[0] == "r"}
    return job, (s[2], s[3]), parts, requests, results


def _part_of_fields(fields, number):
    state, epoch, attempt, missing, first, steps, tokens, lease_ms, owner = unpack(fields[f"a{number}"])
    kept = part_of(fields[f"p{number}"])
    assert (first, steps) == (kept.first, kept.count)
    assert missing == sum(f"r{step}" not in fields for step in range(first, first + steps))
    dead = sorted(result[0] for result in unpack(fields.get(f"d{number}", b"\x90")))
    return kept, tuple(PartState)[state - 1], epoch, attempt, owner, lease_ms, tokens, dead
