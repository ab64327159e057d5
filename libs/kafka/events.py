"""CloudEvents 1.0 on Kafka, binary mode: what an event is stands in headers, the value is its protobuf message.

Binding: https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md
The trace context travels as the W3C headers `traceparent` and `tracestate`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeVar

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError
from libs.kafka.ports import Record
from libs.telemetry.tracing import inject

M = TypeVar("M", bound=Message)

CONTENT_TYPE = "content-type"
SPECVERSION, ID, TYPE, SOURCE, TIME, SCHEMA = (
    f"ce_{name}" for name in ("specversion", "id", "type", "source", "time", "dataschema")
)
PROTOBUF = b"application/protobuf"
_ONE = b"1.0"
_REQUIRED = (SPECVERSION, ID, TYPE, SOURCE, TIME, SCHEMA, CONTENT_TYPE)
# A choice that was added is a message. Stray bytes look more often like numbers.
_MESSAGE_WIRE_TYPE = 2
# Of what others wrote, in our own errors.
_QUOTED_MAX = 100


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is constant of all events of a message class and schema version."""

    name: str
    type: bytes
    schema: bytes
    oneofs: tuple[str, ...]


@lru_cache(maxsize=256)
def _kind(described: Descriptor, schema_version: int) -> _Kind:
    # An optional field is a oneof of its own on the wire, and may be left out.
    oneofs = tuple(each.name for each in described.oneofs if not each.name.startswith("_"))
    name = str(described.full_name)
    return _Kind(described.name, name.encode(), f"{name}/{schema_version}".encode(), oneofs)


def event_record(
    *,
    topic: str,
    key: bytes,
    value: Message,
    source: str,
    id: str,  # noqa: A002  CloudEvents' name for it
    time: float,
    schema_version: int = 1,
) -> Record:
    """An event, ready to be produced.

    `source` names the producer ("headrace/jobs"), and `source` and `id` together are unique: whoever reads an event
    twice knows it by them. `time` in unix seconds. `schema_version` grows when older readers must not act on the event;
    a field that they may overlook is no reason. The current span's trace context goes along.
    """
    kind = _kind(value.DESCRIPTOR, schema_version)
    headers = [
        (SPECVERSION, _ONE),
        (ID, id.encode()),
        (TYPE, kind.type),
        (SOURCE, source.encode()),
        (TIME, rfc3339(time)),
        (SCHEMA, kind.schema),
        (CONTENT_TYPE, PROTOBUF),
    ]
    headers.extend((name, carried.encode()) for name, carried in inject().items())
    return Record(topic, key, value.SerializeToString(), tuple(headers))


def decode(message: Delivery, kind: type[M], schema_version: int = 1) -> M:
    """The event's message; `schema_version` is the newest that the caller knows.

    Raises NewerSchemaError for a later version, and for a choice (oneof) that this version does not have. Raises
    PoisonError for what is no such event: headers missing or wrong, bytes that are no such message, nothing chosen.
    """
    known, headers = _kind(kind.DESCRIPTOR, schema_version), message.headers
    if headers.get(SCHEMA) != known.schema or headers.get(TYPE) != known.type:
        _refuse_other(headers, known, schema_version)
    if headers.get(SPECVERSION) != _ONE or headers.get(CONTENT_TYPE) != PROTOBUF or not _named(headers):
        _refuse_headers(headers)
    try:
        found = kind.FromString(message.value)
    except DecodeError:
        raise PoisonError(f"{len(message.value)} bytes that are no {known.name}") from None
    for choice in known.oneofs:
        if found.WhichOneof(choice) is None:
            _refuse_unchosen(found, known, choice)
    return found


def _named(headers: Mapping[str, bytes]) -> bool:
    return bool(headers.get(ID)) and bool(headers.get(SOURCE)) and bool(headers.get(TIME))


def _refuse_other(headers: Mapping[str, bytes], known: _Kind, schema_version: int) -> None:
    """Returns for an earlier version of the same kind."""
    _refuse_missing(headers)
    if headers[TYPE] != known.type:
        raise PoisonError(f"an event of type {quoted(headers[TYPE])} where {known.name} is expected")
    name, _, version = headers[SCHEMA].rpartition(b"/")
    if name != known.type or not version.isdigit():
        raise PoisonError(f"an event of schema {quoted(headers[SCHEMA])} where {known.name} is expected")
    if int(version[:9]) > schema_version:
        raise NewerSchemaError(f"{known.name} version {quoted(version)}; the latest known here is {schema_version}")


def _refuse_headers(headers: Mapping[str, bytes]) -> None:
    _refuse_missing(headers)
    if headers[SPECVERSION] != _ONE:
        raise PoisonError(f"CloudEvents version {quoted(headers[SPECVERSION])}, not 1.0")
    kind, _, _ = headers[CONTENT_TYPE].partition(b";")  # media types may have parameters, and are of any case
    if kind.strip().lower() != PROTOBUF:
        raise PoisonError(f"content type {quoted(headers[CONTENT_TYPE])}, not {PROTOBUF.decode()}")


def _refuse_missing(headers: Mapping[str, bytes]) -> None:
    if missing := [name for name in _REQUIRED if not headers.get(name)]:
        raise PoisonError(f"no event: it lacks the header{'s' * (len(missing) > 1)} {', '.join(missing)}")


def _refuse_unchosen(found: Message, known: _Kind, choice: str) -> None:
    unknown = UnknownFieldSet(found)
    if any(unknown[at].wire_type == _MESSAGE_WIRE_TYPE for at in range(len(unknown))):
        raise NewerSchemaError(f"{known.name} with a {choice} that is not known here")
    raise PoisonError(f"{known.name} without a {choice}")


def quoted(value: bytes) -> str:
    """What somebody else wrote, safe for a log or terminal: bounded, printable."""
    text = value[:_QUOTED_MAX].decode("utf-8", "replace")
    return repr(text) + ("…" if len(value) > _QUOTED_MAX else "")


def rfc3339(unix_seconds: float) -> bytes:
    """The time with microseconds, in UTC."""
    return (datetime.fromtimestamp(unix_seconds, UTC).isoformat(timespec="microseconds")[:-6] + "Z").encode()
