"""Every operation is played on the model and on the store; each answer, and all that is kept after it, is the same."""

from __future__ import annotations

from collections import Counter

from services.jobs.domain.attempt import BeginAsk, Effect, PartKey, Renewal, Return
from services.jobs.domain.entries import owed
from services.jobs.domain.job import Batch, JobError, JobState
from tests.contract.services.jobs.adapters.store.desk import (
    FILE,
    HOOK,
    KEEP,
    MemoryDesk,
    ValkeyDesk,
    answer,
    lost,
    spec,
)
from tests.contract.services.jobs.adapters.store.timed import TIMED

STEPS = 2
PARTS = 2
FIVE_SECONDS = 5
# What a name of a job says of it: parts, and whether it has a webhook, files, another key.
KINDS = {
    "job_a": {"parts": PARTS},
    "job_b": {"parts": 1, "webhook": HOOK, "key": "k2"},
    "batch_c": {"parts": 0, "batch": FILE, "webhook": HOOK},
    "batch_d": {"parts": PARTS, "batch": FILE, "user": "", "expires_seconds": 40},
}


class DifferenceError(AssertionError):
    """Store and model do not agree, or the model does not agree with itself."""


class Pair:
    """Two desks whose tenants have one name. `play` runs a method of this class on each."""

    def __init__(self, server, library=TIMED):
        self.store = ValkeyDesk(server, KEEP, library)
        self.model = MemoryDesk(KEEP)
        self.model.tenant = self.store.tenant

    def close(self):
        self.store.close()

    def play(self, operation, *args):
        """Runs the operation on both."""
        args = self._resolved(operation, *args)
        told = [operation(desk, *args) for desk in (self.model, self.store)]
        self._compare(f"{operation.__name__}{args}", *told)
        kept, found = self.model.everything(), self.store.everything()
        for name, model, store in zip(("jobs", "agenda"), kept, found, strict=True):
            what = f"the {name} after {operation.__name__}{args}"
            differ = [key for key in model.keys() | store.keys() if model.get(key) != store.get(key)]
            self._compare(what, *({key: each.get(key) for key in differ} for each in (model, store)))
        self._check(kept)
        return told[0]

    def _resolved(self, operation, *args):
        """Epochs and versions are said in relation to the present ones."""
        if operation in WITH_EPOCH:
            return (*args[:2], max(0, self._epoch(*args[:2]) + args[2]), *args[3:])
        if operation in WITH_VERSION:
            return (args[0], max(0, self._version(args[0]) + args[1]), *args[2:])
        return args

    def _record(self, job):
        return self.model.store.of(self.model.tenant).books.jobs.get(job)

    def _epoch(self, job, part):
        record = self._record(job)
        return record.parts[part].epoch if record and part in record.parts else 0

    def _version(self, job):
        record = self._record(job)
        return record.version if record else 0

    def _compare(self, what, model, store):
        if model != store:
            raise DifferenceError(f"{what}: the model has {model!r}, the store {store!r}")

    def _check(self, kept):
        """The agenda is a function of the jobs; the lists have each job once."""
        jobs, plan = kept
        books = self.model.store.of(self.model.tenant).books
        wanted = {tuple(entry) for record in books.jobs.values() for entry in owed(record, 0, 0)}
        self._compare("what is owed", wanted, set(plan))
        lengths = self.store.lists()
        counted = Counter(name for job in jobs.values() for name in _lists_of(job[0]))
        # The two lists of all jobs stay, empty as they may be.
        self._compare("the lists", counted, {name: length for name, length in lengths.items() if length or ":" in name})


def _lists_of(job):
    kind = "b" if job.batch else "j"
    user = [f"{kind}:u:{job.caller.user}"] if job.caller.user else []
    return [kind, f"{kind}:k:{job.caller.key_id}", *user]


def pass_time(desk, seconds):
    desk.pass_time(seconds)


def create(desk, job):
    kind = KINDS[job]
    return desk.create(job, steps=STEPS, **kind)


def add_parts(desk, job, first, count):
    return desk.add_parts(*(spec(first + at, steps=STEPS) for at in range(count)), job=job, reserved=7)


def confirm(desk, job):
    return desk.confirm(job)


def refuse(desk, job, reason):
    return desk.refuse(JobError(reason, "why") if reason else None, job)


def end(desk, job, state):
    return desk.end(state, job)


def cancel(desk, job):
    return end(desk, job, JobState.CANCELLED)


def expire(desk, job):
    return end(desk, job, JobState.EXPIRED)


def begin(desk, job, part):
    return desk.begin(job, part, attempts_max=3)


def replay(desk, job, part):
    return desk.begin(job, part, attempts_max=3, replayed=True)


def renew(desk, job, part, epoch, tokens):
    return desk.renew(epoch, job, part, tokens=tokens)


def apply(desk, job, part, epoch, statuses):
    """Results of the part's steps, one of the part after it among them, and one twice."""
    results = [answer(part * STEPS + at, status, cost=status + at) for at, status in statuses]
    return desk.apply(epoch, *results, job=job, part=part)


def put_back(desk, job, part, epoch):
    return desk.put_back(epoch, job=job, part=part)


def give_up(desk, job, part, epoch, steps):
    return desk.put_back(epoch, *(lost(part * STEPS + at) for at in range(steps)), job=job, part=part, dead=True)


def batch_of_asks(desk, job, part, epoch, other):
    """A call of many asks, which is as many calls."""
    key, too = PartKey(job, part), PartKey(other, 0)
    store, tenant = desk.store, desk.tenant
    results = tuple(answer(part * STEPS + at) for at in range(STEPS))
    return [
        desk.do(store.renew(tenant, [Renewal(key, epoch, 1000, 3), Renewal(too, epoch, 1000, 4)])),
        desk.do(store.begin(tenant, [BeginAsk(each, "o", 1000, 9) for each in (key, too, key)])),
        desk.do(store.apply(tenant, [Effect(key, epoch + 1, results), Effect(key, epoch + 2, results)])),
        desk.do(store.put_back(tenant, [Return(too, epoch + 1), Return(key, epoch + 2)])),
    ]


def claim(desk, limit):
    return desk.claim(limit)


def done(desk, task, job, part):
    return desk.done(task, job, part)


def later(desk, task, job, part, at_ms):
    return desk.later(task, at_ms, job, part)


def told(desk, job, version, with_files):
    return desk.told(job, version, Batch("", "", "out", "err", 0) if with_files else None)


def announce(desk, job, version, other):
    return desk.announce((job, version), (other, version), (job, version))


def hooked(desk, job, version, status, state):
    return desk.hooked(status, state, job, version)


def look(desk, job, part, first, limit):
    """All reads."""
    lists = [
        desk.list(batches=batches, after=after, limit=limit, key_id=key, user=user)
        for batches in (False, True)
        for after in ("", job)
        for key, user in (("", ""), ("k1", "ada"), ("k2", ""))
    ]
    return lists, desk.get(job), desk.requests(job, part), desk.results(job, first, limit), desk.parts(job)


WITH_EPOCH = (renew, apply, put_back, give_up, batch_of_asks)
WITH_VERSION = (told, announce, hooked)
