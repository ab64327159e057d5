"""Signatures of events whose producer is not the service that the topic belongs to.

`headrace-signature: v1=<hex>` is an HMAC-SHA-256 over who says what: ce_id, ce_source, ce_type, ce_time, key and value,
each behind its length (8 bytes, big-endian), so that no byte can move from one to the next. It covers no header that
changes on the way through retry topics and dead letters, so it holds for as long as the bytes do.

A signature has no age limit: messages are replayed on purpose, hours or weeks later. Whoever can write to the topic can
repeat a signed message; that the reader is idempotent is what makes that harmless.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Mapping, Sequence

from libs.kafka.events import ID, SOURCE, TIME, TYPE, quoted
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.ports import Record

SIGNATURE = "headrace-signature"
_SCHEME = b"v1="
_SIGNED = (ID, SOURCE, TYPE, TIME)
# Against guessing; RFC 2104 asks for as many bytes as the hash has.
SECRET_BYTES_MIN = 32

# The secrets of a source, all that are valid (while one is being replaced, two); none for an unknown source.
SecretsOfSource = Callable[[str], Sequence[bytes]]


def sign(record: Record, secret: bytes) -> Record:
    """The event with its signature. Raises ValueError for a secret under 32 bytes."""
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"a secret for signatures has {SECRET_BYTES_MIN} bytes or more")
    kept = tuple(header for header in record.headers if header[0] != SIGNATURE)
    made = _SCHEME + _mac(secret, dict(kept), record.key, record.value)
    return Record(record.topic, record.key, record.value, (*kept, (SIGNATURE, made)))


def verify(message: Delivery, secrets_of: SecretsOfSource) -> str:
    """The source that has signed the message. Raises PoisonError, whose text names no secret.

    Takes as long for a wrong signature as for a right one. For whom that source may speak is the caller's to check.
    """
    given = message.headers.get(SIGNATURE) or b""
    if not given.startswith(_SCHEME):
        raise PoisonError(f"not signed: it lacks a {SIGNATURE} header of the form v1=<hex>")
    name = message.headers.get(SOURCE) or b""
    source = name.decode("utf-8", "replace")
    secrets = secrets_of(source)
    if not secrets:
        raise PoisonError(f"signed by {quoted(name)}, which is no known producer")
    if not _any_matches(given.removeprefix(_SCHEME), secrets, message):
        raise PoisonError(f"the signature of {quoted(name)} does not match: changed, or signed with another secret")
    return source


def _any_matches(given: bytes, secrets: Iterable[bytes], message: Delivery) -> bool:
    matches = False
    for secret in secrets:  # every one, so that the time does not tell which
        expected = _mac(secret, message.headers, message.key, message.value)
        matches |= hmac.compare_digest(given, expected)
    return matches


def _mac(secret: bytes, headers: Mapping[str, bytes], key: bytes, value: bytes) -> bytes:
    made = hmac.new(secret, digestmod="sha256")
    for part in (*(headers.get(name) or b"" for name in _SIGNED), key, value):
        made.update(len(part).to_bytes(8, "big"))
        made.update(part)
    return made.hexdigest().encode()
