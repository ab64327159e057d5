"""When a part's message is sent again. A message that is queued is not lost, and a repeat only makes the queue longer:
so repeats become rarer with age, and wait while messages that were taken lately had waited about as long themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


@dataclass(frozen=True, slots=True)
class Backlog:
    """What this consumer sees of the topic: `wait_seconds` of the message that it took last, in the topic; `full`: all
    its places are taken, so that a repeat would wait behind what waits already.
    """

    wait_seconds: float = 0.0
    full: bool = False


# Who accepted a job sends its messages itself, at once: for so long it is left to that.
FRESH_SECONDS = 2.0
# A full consumer may be full for ever, and its own queue never seen: then a repeat goes out after this all the same.
FULL_SECONDS_MAX = 3600.0


class Look(Enum):
    """What a look at a message that nobody has begun comes to."""

    FRESH = "fresh"
    QUEUED = "queued"
    LOST = "lost"


def look(age_seconds: float, backlog: Backlog, resend_seconds: float) -> Look:
    """At a message whose job was made `age_seconds` ago. Between FRESH_SECONDS and `resend_seconds` it was never sent:
    who sends one puts the next look off by more than this.
    """
    if age_seconds < FRESH_SECONDS:
        return Look.FRESH
    if age_seconds < resend_seconds:
        return Look.LOST
    if backlog.full and age_seconds < FULL_SECONDS_MAX:
        return Look.QUEUED
    return Look.LOST if age_seconds >= 2 * backlog.wait_seconds + resend_seconds else Look.QUEUED


def next_look_seconds(age_seconds: float, resend_seconds: float) -> float:
    """Until its next look: a part that is queued for a day is looked at some twenty times."""
    return max(resend_seconds, age_seconds / 2)
