import pytest
from headrace.events.v1.jobs_pb2 import JobRequested
from hypothesis import assume, given
from hypothesis import strategies as st

from libs.kafka import Record
from libs.kafka.events import event_record
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.signature import sign, verify

SECRET, NEXT, OTHER = (bytes([each]) * 32 for each in (1, 2, 3))
KNOWN = {"crm": (SECRET, NEXT), "billing": (OTHER,)}


def known(source: str) -> tuple[bytes, ...]:
    return KNOWN.get(source, ())


def event(source: str = "crm") -> Record:
    value = JobRequested(tenant="t1", submission=JobRequested.Submission(key_id="k1"))
    return event_record(topic="t", key=b"t1/x", value=value, source=source, id="e1", time=1.0)


def delivered(record: Record, **changes: bytes) -> Delivery:
    made = Delivery("t", 0, 0, record.key, record.value, dict(record.headers))
    for name, value in changes.items():
        if name in ("key", "value"):
            setattr(made, name, value)
        else:
            made.headers[name] = value
    return made


@pytest.mark.parametrize("secret", [SECRET, NEXT])
def test_any_secret_of_the_source_will_do(secret):
    assert verify(delivered(sign(event(), secret)), known) == "crm"


@pytest.mark.parametrize(
    "changes",
    [
        {"key": b"t2/x"},
        {"value": JobRequested(tenant="t2").SerializeToString()},
        {"ce_id": b"e2"},
        {"ce_type": b"another"},
        {"ce_time": b"1999-01-01T00:00:00Z"},
        {"headrace-signature": b"v1="},
        {"headrace-signature": b"v1=" + b"0" * 64},
        {"headrace-signature": b"v1=\xff"},
    ],
)
def test_what_was_changed_is_refused(changes):
    with pytest.raises(PoisonError, match="the signature of 'crm' does not match"):
        verify(delivered(sign(event(), SECRET), **changes), known)


def test_one_source_cannot_sign_for_another():
    with pytest.raises(PoisonError, match="the signature of 'crm' does not match"):
        verify(delivered(sign(event("crm"), OTHER)), known)
    with pytest.raises(PoisonError, match="the signature of 'crm' does not match"):
        verify(delivered(sign(event("billing"), OTHER), ce_source=b"crm"), known)


def test_an_unknown_source_is_refused():
    with pytest.raises(PoisonError, match=r"signed by 'nobody\\n', which is no known producer"):
        verify(delivered(sign(event("nobody\n"), SECRET)), known)


@pytest.mark.parametrize("changes", [{}, {"headrace-signature": b""}, {"headrace-signature": b"v2=00"}])
def test_without_a_signature_it_is_refused(changes):
    with pytest.raises(PoisonError, match="not signed"):
        verify(delivered(event(), **changes), known)


def test_no_error_names_a_secret():
    with pytest.raises(PoisonError) as refused:
        verify(delivered(sign(event(), OTHER)), known)
    for secret in (SECRET, NEXT, OTHER):
        assert secret.hex() not in str(refused.value)
        assert repr(secret)[2:-1] not in str(refused.value)


@given(st.lists(st.binary(max_size=6), min_size=6, max_size=6), st.lists(st.binary(max_size=6), min_size=6, max_size=6))
def test_no_byte_moves_from_one_part_to_another(one, other):
    assume(one != other)
    made = [_signature(*parts) for parts in (one, other)]
    assert made[0] != made[1]


@given(st.binary(max_size=4), st.binary(max_size=4), st.binary(min_size=1, max_size=4))
def test_key_and_value_have_a_border(key, value, moved):
    assert _signature(b"", b"", b"", b"", key + moved, value) != _signature(b"", b"", b"", b"", key, moved + value)


def _signature(name: bytes, source: bytes, kind: bytes, time: bytes, key: bytes, value: bytes) -> bytes:
    headers = (("ce_id", name), ("ce_source", source), ("ce_type", kind), ("ce_time", time))
    return dict(sign(Record("t", key, value, headers), SECRET).headers)["headrace-signature"]


def test_signing_again_replaces_the_signature():
    again = sign(sign(event(), SECRET), NEXT)
    assert [name for name, _ in again.headers].count("headrace-signature") == 1
    assert again == sign(event(), NEXT)


def test_a_short_secret_is_refused():
    with pytest.raises(ValueError, match="32 bytes or more"):
        sign(event(), b"x" * 31)
