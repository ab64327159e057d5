"""A store of answers in memory, on a clock that tests move; held to the real one's contract."""

from __future__ import annotations

from dataclasses import dataclass, field

from libs.errors import PlatformError, Reason
from services.gateway.adapters.idempotency import READ_ENTRIES, AnswerLimits
from services.gateway.domain.idempotency import Claimed, Kept, Page, State, Verdict


@dataclass
class _Answer:
    fingerprint: str
    owner: str
    answer_id: str
    run_id: str
    created: int
    lease_until: float
    forgotten_at: float
    generation: int = 1
    state: State = State.RUNNING
    large: bool = False
    log: list = field(default_factory=list)


class MemoryAnswers:
    """See ports.Answers. `down` makes it unreachable; `calls` counts by function."""

    def __init__(self, clock, limits=None):
        self._clock, self._limits = clock, limits or AnswerLimits()
        self._kept = {}
        self.down = False
        self.calls = {}

    def _enter(self, function):
        self.calls[function] = self.calls.get(function, 0) + 1
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", retry_after_seconds=1.0, started=False)
        now = self._clock.monotonic()
        self._kept = {slot: kept for slot, kept in self._kept.items() if kept.forgotten_at > now}
        return now

    async def claim(self, keyed, claim):
        now = self._enter("claim")
        kept = self._kept.get(keyed.slot)
        if kept is None:
            return self._own(keyed, claim, now, 1)
        if kept.state is State.ABANDONED:
            return Claimed(Verdict.ABANDONED)
        if kept.fingerprint != keyed.fingerprint:
            return Claimed(Verdict.MISMATCH)
        if kept.state is State.BROKEN and not kept.large:
            return self._own(keyed, claim, now, kept.generation + 1)
        return self._claimed(self._verdict(kept, claim, now), kept)

    def _verdict(self, kept, claim, now):
        if kept.large:
            return Verdict.LARGE
        if kept.state is State.DONE:
            return Verdict.DONE
        if kept.owner == claim.owner:
            return Verdict.OWN
        if kept.lease_until > now:
            return Verdict.RUNNING
        kept.owner, kept.lease_until = claim.owner, now + self._limits.lease_seconds
        return Verdict.TAKEN

    def _own(self, keyed, claim, now, generation):
        lease, forgotten = now + self._limits.lease_seconds, now + self._limits.keep_seconds
        ids = (claim.owner, claim.answer_id, claim.run_id, claim.created)
        kept = _Answer(keyed.fingerprint, *ids, lease, forgotten, generation)
        self._kept[keyed.slot] = kept
        return self._claimed(Verdict.OWN, kept)

    @staticmethod
    def _claimed(verdict, kept):
        return Claimed(verdict, kept.answer_id, kept.run_id, kept.created, kept.generation)

    def _held(self, slot, owner):
        kept = self._kept.get(slot)
        return kept if kept is not None and kept.owner == owner and kept.state is State.RUNNING else None

    async def append(self, slot, owner, generation, number, entry):
        now = self._enter("append")
        kept = self._held(slot, owner)
        if kept is None:
            known = self._kept.get(slot)
            return Kept.ABANDONED if known is not None and known.state is State.ABANDONED else Kept.LOST
        kept.lease_until = now + self._limits.lease_seconds
        if kept.large:
            return Kept.LARGE
        if generation > kept.generation:
            kept.generation, kept.log = generation, []
        if not entry or len(kept.log) > number:
            return Kept.YES
        if len(kept.log) < number or sum(map(len, kept.log)) + len(entry) > self._limits.bytes_max:
            kept.large, kept.log = True, []
            return Kept.LARGE
        kept.log.append(entry)
        return Kept.YES

    async def finish(self, slot, owner, state):
        now = self._enter("finish")
        kept = self._kept.get(slot)
        if kept is None or kept.owner != owner:
            return Kept.LOST
        kept.state, kept.forgotten_at = state, now + self._limits.keep_seconds
        return Kept.LARGE if kept.large else Kept.YES

    async def release(self, slot, owner):
        self._enter("release")
        if self._held(slot, owner) is not None:
            del self._kept[slot]

    async def abandon(self, slot):
        now = self._enter("abandon")
        kept = self._kept.setdefault(slot, _Answer("", "", "", "", 0, now, now, 0))
        if kept.state is not State.DONE:
            kept.state, kept.owner, kept.log = State.ABANDONED, "", []
            kept.forgotten_at = now + self._limits.keep_seconds

    async def read(self, slot, after, generation):
        now = self._enter("read")
        kept = self._kept.get(slot)
        if kept is None:
            return Page(State.FREE)
        state = State.LARGE if kept.large else kept.state
        lapsed = kept.state is State.RUNNING and kept.lease_until <= now
        entries = tuple(kept.log[after : after + READ_ENTRIES]) if kept.generation == generation else ()
        return Page(state, kept.run_id, kept.generation, lapsed, entries)
