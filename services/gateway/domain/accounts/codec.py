"""Records and changes as bytes: JSON, in which unknown fields are passed over and missing ones take their default.

So replicas of two versions read each other's records.
"""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.domain.accounts.audit import AuditEntry
from services.gateway.domain.accounts.records import Change, Key, Kind, Price, Record, Tenant, User

_DECODERS: dict[Kind, msgspec.json.Decoder[Any]] = {
    Kind.TENANT: msgspec.json.Decoder(Tenant),
    Kind.USER: msgspec.json.Decoder(User),
    Kind.KEY: msgspec.json.Decoder(Key),
    Kind.PRICE: msgspec.json.Decoder(Price),
}
_encode = msgspec.json.Encoder().encode
# What a record holds and nobody is shown.
SECRET_FIELDS = ("hmac", "previous_hmac")


class _RawChange(msgspec.Struct, kw_only=True):
    kind: Kind
    tenant: str
    id: str
    actor: str
    at: float
    before: msgspec.Raw = msgspec.Raw(b"null")
    after: msgspec.Raw = msgspec.Raw(b"null")


class _Logged(msgspec.Struct, kw_only=True):
    at: float
    actor: str
    kind: str
    record: str
    before: dict[str, object] | None = None
    after: dict[str, object] | None = None


def encode_record(record: Record) -> bytes:
    """What the store keeps of a record."""
    return _encode(record)


def decode_record(kind: Kind, stored: bytes) -> Record:
    """The record; raises msgspec.DecodeError for what is none."""
    found: Record = _DECODERS[kind].decode(stored)
    return found


def encode_change(change: Change) -> bytes:
    """A change as it is published: with HMACs, so that accounts can be rebuilt from it."""
    return _encode(change)


def decode_change(raw: bytes) -> Change:
    """The change; raises msgspec.DecodeError for what is none."""
    found = msgspec.json.decode(raw, type=_RawChange)
    before, after = (_optional(found.kind, each) for each in (found.before, found.after))
    return Change(
        kind=found.kind,
        tenant=found.tenant,
        id=found.id,
        actor=found.actor,
        at=found.at,
        before=before,
        after=after,
    )


def encode_audit(change: Change) -> bytes:
    """A change as the audit log keeps it: without HMACs."""
    before, after = shown(change.before), shown(change.after)
    return _encode(
        _Logged(at=change.at, actor=change.actor, kind=change.kind, record=change.id, before=before, after=after)
    )


def decode_audit(entry_id: str, raw: bytes) -> AuditEntry:
    """An entry of the audit log; raises msgspec.DecodeError for what is none."""
    return AuditEntry(id=entry_id, **msgspec.structs.asdict(msgspec.json.decode(raw, type=_Logged)))


def shown(record: Record | None) -> dict[str, object] | None:
    """A record as a JSON object without its HMACs."""
    if record is None:
        return None
    fields: dict[str, object] = msgspec.to_builtins(record)
    return {name: value for name, value in fields.items() if name not in SECRET_FIELDS}


def _optional(kind: Kind, raw: msgspec.Raw) -> Record | None:
    return None if bytes(raw) == b"null" else decode_record(kind, bytes(raw))
