"""What a job owes: its entries in the agenda are a function of its state, and of nothing else.

So no change can forget to plan what must follow, or leave behind what need not: see `owed`.
"""

from __future__ import annotations

from typing import NamedTuple

from services.jobs.domain.agenda import Task
from services.jobs.domain.job import JobState, PartState
from services.jobs.domain.record import JobRecord

# An acceptance that takes longer is taken back: three times what a gateway may take to reserve.
REFUSE_MS = 60_000
# A part in a retry topic whose message is lost is sent again after this; longer than the longest pause between retries.
RETURNED_MS = 3_600_000
_LETTERS = {
    Task.SEND: "s",
    Task.EXPAND: "x",
    Task.TELL: "t",
    Task.HOOK: "h",
    Task.EXPIRE: "e",
    Task.REFUSE: "r",
    Task.FORGET: "f",
}
_TASKS = {letter: task for task, letter in _LETTERS.items()}


class Entry(NamedTuple):
    """One line of the agenda; `part` for SEND only."""

    task: Task
    job: str
    part: int = 0

    def name(self) -> str:
        """As the store keeps it. What is due at the same time is in the order of these."""
        part = f":{self.part}" if self.task is Task.SEND else ""
        return f"{_LETTERS[self.task]}{self.job}{part}"


def entry_of(name: str) -> Entry:
    """Inverse of `Entry.name`."""
    task, rest = _TASKS[name[0]], name[1:]
    if task is not Task.SEND:
        return Entry(task, rest)
    job, _, part = rest.rpartition(":")
    return Entry(task, job, int(part))


def owed(record: JobRecord, now: int, keep_ms: int) -> dict[Entry, int]:
    """All that is to be done for a job, with the time at which each is due when it is planned at `now`."""
    job = record.new.id
    if record.ended:
        return _owed_at_the_end(record, now, keep_ms)
    if record.state is JobState.ACCEPTING:
        if not record.has_file:
            return {Entry(Task.REFUSE, job): now + REFUSE_MS}
        return {Entry(Task.EXPAND, job): now, Entry(Task.EXPIRE, job): record.expires_ms}
    open_parts = (number for number, part in record.parts.items() if part.state in _OPEN)
    return {Entry(Task.EXPIRE, job): record.expires_ms} | {Entry(Task.SEND, job, number): now for number in open_parts}


_OPEN = frozenset({PartState.WAITING, PartState.RUNNING})


def _owed_at_the_end(record: JobRecord, now: int, keep_ms: int) -> dict[Entry, int]:
    job = record.new.id
    due = {Entry(Task.FORGET, job): now + keep_ms} if record.told else {Entry(Task.TELL, job): now}
    hook = record.webhook
    if hook is not None and hook.state == "pending" and record.announced == record.end_version:
        due[Entry(Task.HOOK, job)] = now
    return due
