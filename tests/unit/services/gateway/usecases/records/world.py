"""Records in memory: a recorder, a writer and a reader over twins of their stores, on virtual time."""

from __future__ import annotations

from contextlib import asynccontextmanager

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from services.gateway.domain.accounts.records import RecordPolicy
from services.gateway.domain.record import CallRecord
from services.gateway.domain.redaction import PatternRedactor
from services.gateway.domain.request_batch import folder
from services.gateway.domain.turns import ChatRequest, Principal, Role, Turn
from services.gateway.usecases.records.reader import Query, RecordReader
from services.gateway.usecases.records.recorder import Recorder, RecorderLimits
from services.gateway.usecases.records.texts import TextFiller
from services.gateway.usecases.records.writer import RecordWriter, Stores

NOW = 1_700_000_000.0


class MemoryIndex:
    """See ports.records.RecordIndex; held to the real one by its contract tests. `down` plays a dead store."""

    def __init__(self, clock=None):
        self.clock = clock or FakeClock()
        self.places, self.listed, self.keeps = {}, {}, []
        self.down = False

    async def add(self, batch, keep_seconds):
        self._check()
        until = self.clock.unix() + keep_seconds
        self.keeps.append(keep_seconds)
        for entry in batch.entries:
            self.places[batch.tenant, entry.request_id] = (until, entry.place)
            for name in ("all", f"k:{entry.key}", f"u:{entry.user}" if entry.user else "all"):
                self.listed.setdefault((batch.tenant, name), set()).add(batch.blob)

    async def find(self, tenant, request_id):
        self._check()
        until, place = self.places.get((tenant, request_id), (0.0, None))
        return place if until > self.clock.unix() else None

    async def blobs(self, tenant, *, key="", user="", first, end, limit, newest_first=False):
        self._check()
        name = f"k:{key}" if key else f"u:{user}" if user else "all"
        found = [blob for blob in self.listed.get((tenant, name), ()) if first < blob < end]
        return sorted(found, reverse=newest_first)[:limit]

    def _check(self):
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", 1.0, started=False)


class Watch:
    """Counts; see ports.records.RecordWatch."""

    def __init__(self):
        self.records, self.losses, self.failures, self.purges = 0, {}, [], 0

    def written(self, records, size):
        self.records += records

    def lost(self, what, count=1):
        self.losses[what] = self.losses.get(what, 0) + count

    def failed(self, why):
        self.failures.append(why)

    def purged(self, blobs):
        self.purges += blobs


class Records:
    """All parts. `put` records a call that never was."""

    def __init__(self, *, flush_seconds=2.0, redactor=None, clock=None, **limits):
        self.clock = clock or FakeClock(unix=NOW)
        self.blobs, self.index, self.watch = MemoryBlobs(), MemoryIndex(self.clock), Watch()
        bounds = RecorderLimits(**limits)
        self.recorder = Recorder(self.clock, self.watch, bounds)
        filler = TextFiller(redactor or PatternRedactor(), bounds.text_characters_max)
        self.writer = RecordWriter(
            self.recorder, filler, Stores(self.blobs, self.index), self.clock, self.watch,
            name="gw", flush_seconds=flush_seconds,
        )  # fmt: skip
        self.reader = RecordReader(self.recorder, self.index, self.blobs)

    def put(self, request_id, *, ago=0.0, answer="Fine.", prompt="How are you?", policy=None, **fields):
        """`ago`: seconds since the call began."""
        principal = Principal(
            fields.pop("tenant", "acme"), fields.pop("key", "key-1"), account_user=fields.pop("user", ""),
            tags=(("team", "red"),), records=policy or RecordPolicy(),
        )  # fmt: skip
        request = ChatRequest("m", (Turn(Role.USER, prompt),), metadata={"feature": "x"})
        now = self.clock.monotonic()
        times = {"started_at": now - ago, "first_delta_at": now - ago / 2, "ended_at": now}
        counts = {"attempts": 1, "prompt_tokens": 5, "completion_tokens": 3, "cost": 2_500, "worker": "w"}
        record = CallRecord(
            request_id, principal.tenant, "m", principal=principal, request=request, **(times | counts | fields)
        )
        if principal.records.store_prompts:
            self.recorder.answer(request_id).take(GenerateResponse(text=answer))
        self.recorder.ended(record)

    async def all(self, *, first=-1e6, last=1e6, after="", **fields):
        query = Query(fields.pop("tenant", "acme"), NOW + first, NOW + last, **fields)
        return [record.id async for record, _ in self.reader.read(query, after)]

    def stored(self, tenant="acme"):
        """Every byte that is kept of a tenant."""
        return b"".join(data for name, data in sorted(self.blobs.stored.items()) if name.startswith(folder(tenant)))


@asynccontextmanager
async def writing(records):
    records.writer.start()
    try:
        yield records
    finally:
        await records.writer.close(1.0)
