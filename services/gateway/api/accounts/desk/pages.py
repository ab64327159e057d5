"""Pages of lists: bounded, and with a hint whether there is more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from libs.errors import PlatformError, Reason

T = TypeVar("T")
LIMIT_MAX = 1000
# What is read at once where records are picked out of a tenant's.
_SCAN = 500
# Beyond it a search gives a part of its page and where to go on: one request must not read a large tenant whole.
_SCANS_MAX = 20

Lister = Callable[[str, int], Awaitable[Sequence[T]]]


@dataclass(frozen=True, slots=True)
class Slice(Generic[T]):
    """`next` goes into `after` of the following request; "" = there is none."""

    items: list[T]
    next: str = ""


def check_limit(limit: int) -> int:
    """The limit; raises INVALID_REQUEST."""
    if not 1 <= limit <= LIMIT_MAX:
        raise PlatformError(
            Reason.INVALID_REQUEST, f"'limit' must be from 1 to {LIMIT_MAX}.", started=False, param="limit"
        )
    return limit


async def page_of(
    lister: Lister[T], ids: Callable[[T], str], *, after: str, limit: int, keep: Callable[[T], bool] | None = None
) -> Slice[T]:
    """The next `limit` items that are to be kept, in the order of their ids."""
    check_limit(limit)
    found: list[T] = []
    for _ in range(_SCANS_MAX):
        wanted = limit + 1 if keep is None else _SCAN
        read = await lister(after, wanted)
        for item in read:
            if len(found) == limit:
                return Slice(found, after)
            after = ids(item)
            if keep is None or keep(item):
                found.append(item)
        if len(read) < wanted:
            return Slice(found)
    return Slice(found, after)
