"""The binding of a session to a worker, and what to do with it.

Bindings are by worker *name*, not by boot id. A worker that restarts under its name has a cold cache, yet its idle
sessions stay its own: their cache is cold everywhere, and staying keeps the spread that placement has made. Only a
session that speaks while its worker is away moves; it stays where it went, for that is where its cache is.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple


class BindingOutcome(StrEnum):
    """What came of asking the store about a session."""

    # The stored binding holds.
    STORED = "stored"
    NEW = "new"
    # Its worker cannot serve: it goes elsewhere.
    MOVED = "moved"
    # The store is down.
    UNCERTAIN = "uncertain"


class SessionKey(NamedTuple):
    """Whose session. Session ids are the client's words, so they mean something within their tenant only."""

    tenant: str
    session: str


@dataclass(frozen=True, slots=True)
class Binding:
    """`version` rises by one with every move; 0 = not in the store yet.

    `stored` is False for a decision taken while the store was down: it holds in this process until the store can be
    asked, and then the stored one wins.
    """

    worker: str
    version: int
    stored: bool = True


class Bound(NamedTuple):
    """The binding that holds, and whether this very call made it so."""

    binding: Binding
    written: bool
