"""How records become blobs: one per tenant and span of time, a line each."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from services.gateway.domain.request_record import RequestRecord

# Records of one blob are no further apart: a search by time knows how far it has to look.
SPAN_SECONDS = 600
ROOT = "records/"
_SECONDS_PER_DAY = 86_400


class Recorded(Protocol):
    """Something with a record."""

    @property
    def record(self) -> RequestRecord:
        """The record."""
        ...


R = TypeVar("R", bound=Recorded)


def grouped(recorded: Iterable[R]) -> list[list[R]]:
    """Those whose records share a blob, each group in the order of time."""
    groups: dict[tuple[str, int], list[R]] = {}
    for one in recorded:
        groups.setdefault((one.record.tenant, int(one.record.at // SPAN_SECONDS)), []).append(one)
    return [sorted(group, key=lambda one: one.record.at) for group in groups.values()]


def blob_name(group: list[RequestRecord], writer: str, number: int) -> str:
    """Name of a group's blob; unique by writer (one life of a gateway) and number.

    A tenant's names are in the order of the time of their last record.
    """
    last = group[-1]
    return f"{folder(last.tenant)}{mark(last.at)}-{writer}-{number:06d}.jsonl"


def mark(at: float) -> str:
    """What names of blobs of that time begin with, below their tenant: day and Unix milliseconds."""
    return f"{day_of(at)}/{int(at * 1000):013d}"


def folder(tenant: str) -> str:
    """The folder of all of a tenant's blobs."""
    return f"{ROOT}{tenant}/"


def day_of(at: float) -> str:
    """The UTC day of a time, "2026-01-31"."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


def first_day_kept(now: float, retention_days: int) -> str:
    """Folders of earlier days are past their time: all their records are older than that many days."""
    return day_of(now - retention_days * _SECONDS_PER_DAY)
