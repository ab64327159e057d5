from datetime import datetime

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from headrace.events.v1.jobs_pb2 import JobFinished, JobRequested
from hypothesis import given
from hypothesis import strategies as st

from libs.kafka import Record
from libs.kafka.events import decode, event_record
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError

PART = JobRequested(tenant="t1", part=JobRequested.Part(job="job_1", part=3))
REQUIRED = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_dataschema", "content-type")


def record(value=PART, **changes) -> Record:
    given = {"topic": "t", "key": b"k", "value": value, "source": "headrace/jobs", "id": "e1", "time": 1.5}
    return event_record(**(given | changes))


def delivered(made: Record, *, value: bytes | None = None, **headers: bytes | None) -> Delivery:
    changed = dict(made.headers) | {name.replace("__", "-"): each for name, each in headers.items()}
    kept = {name: each for name, each in changed.items() if each is not None}
    return Delivery(made.topic, 0, 7, made.key, made.value if value is None else value, kept)


def test_the_headers_of_an_event():
    headers = dict(record(time=1_700_000_000.25).headers)
    assert headers == {
        "ce_specversion": b"1.0",
        "ce_id": b"e1",
        "ce_type": b"headrace.events.v1.JobRequested",
        "ce_source": b"headrace/jobs",
        "ce_time": b"2023-11-14T22:13:20.250000Z",
        "ce_dataschema": b"headrace.events.v1.JobRequested/1",
        "content-type": b"application/protobuf",
    }


@given(st.text(min_size=1), st.text(min_size=1), st.floats(0, 4e9), st.text(), st.integers(0, 2**32 - 1), st.binary())
def test_what_was_sent_is_read(name, source, time, tenant, part, key):
    sent = JobRequested(tenant=tenant, part=JobRequested.Part(job="job_1", part=part))
    made = record(sent, id=name, source=source, time=time, key=key)
    assert decode(delivered(made), JobRequested) == sent
    assert made.key == key
    headers = dict(made.headers)
    assert (headers["ce_id"].decode(), headers["ce_source"].decode()) == (name, source)
    assert datetime.fromisoformat(headers["ce_time"].decode()).timestamp() == pytest.approx(time, abs=2e-6)


@given(st.binary(max_size=200), st.dictionaries(st.sampled_from(REQUIRED), st.binary(max_size=40)))
def test_whatever_comes_is_an_event_or_refused_as_one(value, headers):
    """No other exception: those count as passing, and would be tried again for an hour."""
    made = delivered(record(), value=value, **{name.replace("-", "__"): each for name, each in headers.items()})
    said = _refusal(made)
    assert len(said) < 800
    assert said.isprintable()


def _refusal(message: Delivery) -> str:
    try:
        decode(message, JobRequested).WhichOneof("what")
    except (PoisonError, NewerSchemaError) as refused:
        return str(refused)
    return "none"


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_that_lacks_is_named(name):
    with pytest.raises(PoisonError, match=f"lacks the header {name}$"):
        decode(delivered(record(), **{name.replace("-", "__"): None}), JobRequested)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_header_without_a_value_lacks(name):
    """Kafka's headers may be null; the client hands out None."""
    made = delivered(record())
    with pytest.raises(PoisonError, match=f"lacks the header {name}$"):
        decode(Delivery("t", 0, 0, b"", made.value, {**made.headers, name: None}), JobRequested)


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"value": b"\xff\xff"}, "2 bytes that are no JobRequested"),
        ({"value": b""}, "JobRequested without a what"),
        ({"value": b"x" * 1_000}, "JobRequested without a what"),
        ({"content__type": b"application/json"}, "content type 'application/json', not application/protobuf"),
        ({"ce_specversion": b"0.3"}, "CloudEvents version '0.3', not 1.0"),
        ({"ce_type": b"some.Other"}, "an event of type 'some.Other' where JobRequested is expected"),
        ({"ce_dataschema": b"some.Other/1"}, "an event of schema 'some.Other/1' where JobRequested is expected"),
        ({"ce_dataschema": b"headrace.events.v1.JobRequested/x"}, "an event of schema '.*/x' where"),
        ({"ce_type": b"\x1b[31m" + b"x" * 300}, r"type '\\x1b\[31mx{95}'… where"),
    ],
)
def test_what_is_no_such_event_is_poison_with_its_cause(changes, cause):
    with pytest.raises(PoisonError, match=cause):
        decode(delivered(record(), **changes), JobRequested)


def test_an_event_of_another_kind_is_poison():
    with pytest.raises(
        PoisonError, match=r"of type 'headrace\.events\.v1\.JobFinished' where JobRequested is expected"
    ):
        decode(delivered(record(JobFinished(tenant="t1"))), JobRequested)


def test_a_later_version_is_newer_and_an_earlier_one_is_read():
    later = delivered(record(schema_version=3))
    with pytest.raises(NewerSchemaError, match="JobRequested version '3'; the latest known here is 2"):
        decode(later, JobRequested, 2)
    assert decode(later, JobRequested, 3) == PART
    assert decode(delivered(record(schema_version=1)), JobRequested, 3) == PART


def test_a_later_version_is_newer_whatever_else_it_changed():
    made = delivered(record(schema_version=2), value=b"\xff", content__type=b"application/json")
    with pytest.raises(NewerSchemaError):
        decode(made, JobRequested)


def test_a_choice_that_is_not_known_is_newer():
    later = b"\x0a\x02t1" + b"\x4a\x02hi"  # tenant, and field 9
    with pytest.raises(NewerSchemaError, match="JobRequested with a what that is not known here"):
        decode(delivered(record(), value=later), JobRequested)


def test_a_field_that_may_be_overlooked_is():
    assert decode(delivered(record(), value=PART.SerializeToString() + b"\x4a\x02hi"), JobRequested).part.part == 3


def test_a_content_type_may_have_parameters():
    assert decode(delivered(record(), content__type=b"Application/Protobuf; v=1"), JobRequested) == PART


def test_an_optional_field_is_no_choice_to_be_made():
    file = descriptor_pb2.FileDescriptorProto(name="optional.proto", package="headrace.test", syntax="proto3")
    field = {"name": "x", "number": 1, "type": 9, "label": 1, "proto3_optional": True, "oneof_index": 0}
    file.message_type.add(name="Optional", field=[field], oneof_decl=[{"name": "_x"}])
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("headrace.test.Optional"))
    assert not decode(delivered(record(kind())), kind).HasField("x")
