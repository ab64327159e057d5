"""What the audit log says of a change. Secrets are no part of a record, so an entry can hold records whole."""

from __future__ import annotations

import re

import msgspec

from libs.errors import PlatformError, Reason

_ENTRY_ID = re.compile(r"\d{1,20}-\d{1,20}", re.ASCII)


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """`id` orders the entries of a tenant. `before` and `after` are records as JSON objects, without their HMACs."""

    id: str
    at: float
    actor: str
    kind: str
    record: str
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None


def check_cursor(after: str) -> str:
    """The id of an entry as it is; raises INVALID_REQUEST for what is none."""
    if not _ENTRY_ID.fullmatch(after):
        message = "after is no id of an audit entry. Send the id of the last entry you have, or leave it out."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="after")
    return after
