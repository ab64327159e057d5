"""Server-sent events (HTML Living Standard, 9.2.6), as much of them as the platform sends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `id` is the last that was given, on this event or before it."""

    id: str
    name: str
    data: str


def events(lines: Iterable[str]) -> Iterator[Event]:
    """Events of a stream; comments are passed over, and an event that the end cuts is none."""
    last, name, data = "", "message", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Event(last, name, "\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id":
            last = value
