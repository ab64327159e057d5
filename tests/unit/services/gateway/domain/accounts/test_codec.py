"""Records as bytes: whole, readable by another version, and without HMACs where people read them."""

from __future__ import annotations

import msgspec
import pytest

from services.gateway.domain.accounts.codec import (
    decode_audit,
    decode_change,
    decode_record,
    encode_audit,
    encode_change,
    encode_record,
)
from services.gateway.domain.accounts.records import Budget, Change, Key, Kind, Limits, Price, Role, Tenant, User

LIMITS = Limits(budgets=(Budget(limit_nanodollars=1, duration="1d", anchor_at=1.25),), models=("a", "ü"))
RECORDS = {
    Kind.TENANT: Tenant(id="acme", limits=LIMITS, metadata={"b": "}{", "a": "\u2028"}),
    Kind.USER: User(tenant="acme", id="ada", role=Role.MEMBER),
    Kind.KEY: Key(tenant="acme", id="key_1", hmac="h1", previous_hmac="h2", expires_at=9.5),
    Kind.PRICE: Price(model="m", input_nanodollars=1, cached_nanodollars=2, output_nanodollars=2**53 - 1),
}


@pytest.mark.parametrize("kind", Kind)
def test_what_goes_in_comes_out(kind):
    record = RECORDS[kind]
    assert decode_record(kind, encode_record(record)) == record
    for before, after in ((None, record), (record, None), (record, record)):
        change = Change(kind=kind, tenant="acme", id="x", actor="key_a", at=1.5, before=before, after=after)
        assert decode_change(encode_change(change)) == change


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_take_their_default():
    assert decode_record(Kind.TENANT, b'{"id":"acme","later":{"x":1}}') == Tenant(id="acme")


@pytest.mark.parametrize("stored", [b"", b"[", b"{}", b'{"id":7}'])
def test_what_is_no_record_is_an_error(stored):
    with pytest.raises(msgspec.DecodeError):
        decode_record(Kind.TENANT, stored)


def test_the_audit_log_has_everything_but_hmacs():
    key = RECORDS[Kind.KEY]
    change = Change(kind=Kind.KEY, tenant="acme", id="key_1", actor="key_a", at=1.5, before=key, after=None)
    raw = encode_audit(change)
    entry = decode_audit("7-0", raw)
    assert b"h1" not in raw
    assert b"h2" not in raw
    assert (entry.id, entry.at, entry.actor, entry.kind, entry.record) == ("7-0", 1.5, "key_a", "key", "key_1")
    assert entry.after is None
    assert set(msgspec.to_builtins(key)) - set(entry.before) == {"hmac", "previous_hmac"}
