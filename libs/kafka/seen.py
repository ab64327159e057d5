"""Which identities were read already, for any number of them in little memory."""

from __future__ import annotations

import sqlite3
from types import TracebackType
from typing import Self


class Seen:
    """A set of identities on disk, in a file that has no name and goes with the object. Blocks for microseconds.

    What is published at least once is had exactly once in effect by dropping what is seen again.
    """

    def __init__(self) -> None:
        # "" is SQLite's private temporary database: kept in its page cache, written to disk only when that is full.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("CREATE TABLE seen (identity BLOB PRIMARY KEY) WITHOUT ROWID")
        self._db.execute("BEGIN")

    def first(self, identity: bytes) -> bool:
        """True for an identity that was not asked for before."""
        return self._db.execute("INSERT OR IGNORE INTO seen VALUES (?)", (identity,)).rowcount == 1

    def close(self) -> None:
        """Forgets everything. A repeat does nothing."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
