"""What the audit log says of a change. Secrets are no part of a record, so an entry can hold records whole."""

from __future__ import annotations

import msgspec


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`id` orders the entries of a tenant. `before` and `after` are records as JSON objects, without their HMACs."""

    id: str
    at: float
    actor: str
    kind: str
    record: str
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None
