"""What an audit has seen, in a file that has no name and goes with the audit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from libs.kafka import Seen
from services.gateway.ports.usage import AuditStore


class SqliteMemory:
    """Implements ports.AuditMemory."""

    @contextmanager
    def open(self) -> Iterator[AuditStore]:
        """See ports.AuditMemory."""
        with Seen() as seen, closing(sqlite3.connect("", isolation_level=None)) as db:
            yield _Store(seen, db)


class _Store:
    """Implements ports.AuditStore."""

    def __init__(self, seen: Seen, db: sqlite3.Connection) -> None:
        self.first = seen.first
        self._db = db
        db.execute("PRAGMA journal_mode = OFF")
        db.execute("CREATE TABLE costs (request TEXT PRIMARY KEY, cost INTEGER NOT NULL) WITHOUT ROWID")
        db.execute("BEGIN")

    def add(self, tenant: str, request_id: str, cost: int) -> None:
        """See ports.AuditStore."""
        self._db.execute(
            "INSERT INTO costs VALUES (?, ?) ON CONFLICT (request) DO UPDATE SET cost = cost + excluded.cost",
            (_name(tenant, request_id), cost),
        )

    def cost(self, tenant: str, request_id: str) -> int | None:
        """See ports.AuditStore."""
        found = self._db.execute("SELECT cost FROM costs WHERE request = ?", (_name(tenant, request_id),)).fetchone()
        return None if found is None else int(found[0])


def _name(tenant: str, request_id: str) -> str:
    return f"{tenant}\n{request_id}"
