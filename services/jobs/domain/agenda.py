"""What is to be done for jobs at some time, kept beside them in the store: no timer is lost with a process."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Task(StrEnum):
    """`SEND`: its message is not known to be in Kafka, or nothing was heard of its attempt. `EXPAND`: the same for a
    file that is to be cut into parts. `TELL`: a job has ended: reservations, files, the event. `HOOK`: its webhook.
    `EXPIRE`: its time is over. `REFUSE`: accepted by half, by someone who is gone. `FORGET`: kept long enough.
    """

    SEND = "send"
    EXPAND = "expand"
    TELL = "tell"
    HOOK = "hook"
    EXPIRE = "expire"
    REFUSE = "refuse"
    FORGET = "forget"


@dataclass(frozen=True, slots=True)
class Due:
    """Something whose time has come; `part` for SEND only."""

    tenant: str
    task: Task
    job: str
    part: int = 0
