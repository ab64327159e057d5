"""Dead letters and parked messages in words and as documents."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cli.view.event import event_document
from libs.kafka.handling import Delivery
from libs.kafka.letter_box import Box, Letter, letter_of, stack_of_letter
from libs.kafka.letter_topics import consumed_topic

CAUSE_COLUMNS = ("count", "last", "cause")
COLUMNS = ("letter", "age", "attempts", "origin", "cause")
# Where a kind's bytes are not known, so many of them are shown.
_HEX_BYTES = 64
# What differs between letters of one cause: numbers, and what is quoted.
_VARIES = re.compile(r"'[^']*'…?|\d+")


@dataclass(frozen=True, slots=True)
class CauseGroup:
    """Letters of one cause; `cause` is that of the last one."""

    cause: str
    count: int
    last_ms: int


def by_cause(letters: Iterable[Letter]) -> list[CauseGroup]:
    """The most frequent first."""
    groups: dict[str, list[Letter]] = {}
    for letter in letters:
        groups.setdefault(_VARIES.sub("#", letter.cause), []).append(letter)
    found = [(max(group, key=lambda letter: (letter.moved_ms, letter.place)), len(group)) for group in groups.values()]
    return sorted(
        (CauseGroup(last.cause, count, last.moved_ms) for last, count in found),
        key=lambda group: (-group.count, group.cause),
    )


def newest(letters: Sequence[Letter], limit: int) -> list[Letter]:
    """The last ones that came, the newest first."""
    return sorted(letters, key=lambda letter: (letter.moved_ms, letter.place), reverse=True)[:limit]


def cause_row(group: CauseGroup, now: float) -> list[str]:
    """A row for CAUSE_COLUMNS."""
    return [str(group.count), age_words(group.last_ms, now), group.cause or "none is told"]


def letter_row(letter: Letter, now: float, *, done: bool) -> list[str]:
    """A row for COLUMNS."""
    notes = [note for note, holds in (("too large: a stub", letter.stub), ("replayed", done)) if holds]
    cause = letter.cause or letter.schema or letter.event_type
    return [
        name(letter),
        age_words(letter.moved_ms, now),
        str(letter.attempts),
        f"{letter.origin[1]}:{letter.origin[2]}" if letter.origin else "",
        f"{cause} ({', '.join(notes)})" if notes else cause,
    ]


def name(letter: Letter) -> str:
    """How commands name it within its topic."""
    return f"{letter.partition}:{letter.offset}"


def age_words(then_ms: int, now: float) -> str:
    """Such as 12 s, 3 min, 5 h, 2 d; "" for an unknown time."""
    if not then_ms:
        return ""
    seconds = max(now - then_ms / 1000, 0.0)
    for size, unit, upto in ((1, "s", 60), (60, "min", 3_600), (3_600, "h", 86_400)):
        if seconds < upto:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // 86_400)} d"


def box_document(box: Box, letters: Sequence[Letter]) -> dict[str, Any]:
    """Of a topic: counts, causes, and these of its letters."""
    return {
        "topic": consumed_topic(box.topic),
        "letters_topic": box.topic,
        "waiting": len(box.waiting),
        "replayed": len(box.letters) - len(box.waiting),
        "causes": [
            {"cause": group.cause, "count": group.count, "last": _iso(group.last_ms)} for group in by_cause(box.waiting)
        ],
        "letters": [letter_document(letter, done=letter.place in box.done) for letter in letters],
    }


def letter_document(letter: Letter, *, done: bool) -> dict[str, Any]:
    """All that is told of a letter without its value."""
    origin = dict(zip(("topic", "partition", "offset"), letter.origin, strict=True)) if letter.origin else None
    return {
        "letter": name(letter),
        "cause": letter.cause,
        "attempts": letter.attempts,
        "origin": origin,
        "first_seen": _iso(letter.first_seen_ms),
        "moved": _iso(letter.moved_ms),
        "event": {"id": letter.event_id, "type": letter.event_type, "schema": letter.schema},
        "size_bytes": letter.size_bytes,
        "stub": letter.stub,
        "replayed": done,
        "replayed_from": letter.replayed_from or None,
    }


def whole_document(message: Delivery, *, done: bool) -> dict[str, Any]:
    """A letter with its headers, value and stack."""
    letter = letter_of(message)
    value = None if letter.stub else event_document(letter.event_type, message.value)
    headers = {key: each.decode("utf-8", "replace") for key, each in message.headers.items()}
    headers.pop("headrace-stack", None)
    return {
        "topic": consumed_topic(message.topic),
        **letter_document(letter, done=done),
        "key": message.key.decode("utf-8", "replace"),
        "headers": headers,
        "value": value,
        "value_hex": message.value[:_HEX_BYTES].hex() if value is None else None,
        "stack": stack_of_letter(message),
    }


def facts(document: dict[str, Any]) -> dict[str, str]:
    """What `show` says first."""
    origin, event = document["origin"], document["event"]
    size = f"{document['size_bytes']} bytes"
    return {
        "letter": document["letter"],
        "topic": document["topic"],
        "cause": document["cause"],
        "attempts": str(document["attempts"]),
        "origin": f"{origin['topic']} {origin['partition']}:{origin['offset']}" if origin else "unknown",
        "first failed": document["first_seen"] or "",
        "moved": document["moved"] or "",
        "event": f"{event['type']} {event['id']}".strip(),
        "schema": event["schema"],
        "key": document["key"],
        "size": f"{size}; only a stub was moved, the value stands at its origin" if document["stub"] else size,
        "replayed": "yes" if document["replayed"] else "",
        "came back from": document["replayed_from"] or "",
    }


def _iso(unix_ms: int) -> str | None:
    return datetime.fromtimestamp(unix_ms / 1000, UTC).isoformat(timespec="milliseconds") if unix_ms else None
