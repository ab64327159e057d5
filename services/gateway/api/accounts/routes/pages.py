"""Lists in JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from services.gateway.api.accounts.answers import Page
from services.gateway.api.accounts.desk.pages import Slice

T = TypeVar("T")
Out = TypeVar("Out")


def paged(found: Slice[T], out: Callable[[T], Out]) -> Page[Out]:
    """A page of the desk's as it is answered."""
    return Page(data=[out(item) for item in found.items], has_more=bool(found.next), next=found.next or None)
