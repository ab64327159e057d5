"""Bodies of `POST /v1/jobs`: one chat request, or many, as a submission to the jobs service."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from headrace.jobs.v1 import jobs_pb2 as pb

from services.gateway.wire.json_text import encode
from services.gateway.wire.refusals import from_msgspec, invalid

PATH = "/v1/chat/completions"
# Where options of the job stand in a body that is a chat request itself, whose own `metadata` are tags of usage.
OPTIONS = "job"
_METHOD = "POST"
_INT32 = range(-(2**31), 2**31)
_UINT32 = range(2**32)
_Bad = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Object = dict[str, msgspec.Raw]
_OBJECT = msgspec.json.Decoder(_Object)
_TEXT = msgspec.json.Decoder(str)
# Bytes of requests between two yields, some tenths of a millisecond; a small request takes as long as one of a KiB.
_BIT_BYTES = 256 * 1024
_REQUEST_BYTES = 1024


class _Webhook(msgspec.Struct, forbid_unknown_fields=True):
    url: str
    secret: str


class _Options(msgspec.Struct, forbid_unknown_fields=True):
    """What a job takes beside its requests. null means "not given"."""

    expires_in_seconds: int | None = None
    priority: int | None = None
    metadata: dict[str, str] | None = None
    webhook: _Webhook | None = None


class _Many(_Options, forbid_unknown_fields=True):
    requests: list[msgspec.Raw] = []


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    """A line of OpenAI's batch format."""

    body: msgspec.Raw
    custom_id: str | None = None
    method: str | None = None
    url: str | None = None


_MANY, _OPTIONS, _ENVELOPE = (msgspec.json.Decoder(kind) for kind in (_Many, _Options, _Envelope))


@dataclass(frozen=True, slots=True)
class JobBody:
    """The submission of a body. `single`: the body is the request itself, so fields of it have no "requests[0]."."""

    submission: pb.SubmitJobRequest
    single: bool


def body_of(raw: bytes, requests_max: int) -> Generator[None, None, JobBody]:
    """What a body asks for, bit by bit, so that the event loop has its turn in between.

    Raises PlatformError, always a 400, with the field at fault as `param`. Requests are passed on as they stand in the
    body: what is right in them is checked as if they were made directly.
    """
    top = _decoded(_OBJECT, raw, "")
    if "requests" in top:
        many = _decoded(_MANY, raw, "")
        check_count(len(many.requests), requests_max)
        found, done = _submission(many), 0
        for place, each in enumerate(many.requests):
            _add(found, *_request(each, place))
            done += _REQUEST_BYTES + len(each)
            if done >= _BIT_BYTES:
                yield
                done = 0
        return JobBody(found, single=False)
    options = _decoded(_OPTIONS, top[OPTIONS], OPTIONS) if OPTIONS in top else _Options()
    body = encode({name: value for name, value in top.items() if name != OPTIONS}) if OPTIONS in top else raw
    found = _submission(options)
    _add(found, "", body)
    return JobBody(found, single=True)


def check_count(requests: int, requests_max: int) -> None:
    """Raises INVALID_REQUEST before anything is done for each of them: a body has room for millions."""
    if requests > requests_max:
        message = (
            f"'requests' holds {requests}; one job takes {requests_max}. Send several jobs, or upload them as a file "
            "and make it a batch."
        )
        raise invalid("requests", message)


def _submission(options: _Options) -> pb.SubmitJobRequest:
    found = pb.SubmitJobRequest(
        expires_in_seconds=_within(options.expires_in_seconds, _UINT32, "expires_in_seconds"),
        priority=_within(options.priority, _INT32, "priority"),
        metadata=options.metadata or {},
    )
    if options.webhook is not None:
        found.webhook.CopyFrom(pb.Webhook(url=options.webhook.url, secret=options.webhook.secret))
    return found


def _add(found: pb.SubmitJobRequest, custom_id: str, body: bytes) -> None:
    request = found.requests.add(custom_id=custom_id)
    request.work.body, request.work.path = body, PATH


def _request(raw: msgspec.Raw, place: int) -> tuple[str, bytes]:
    """Its custom_id ("" = none) and body."""
    where = f"requests[{place}]"
    fields = _decoded(_OBJECT, raw, where)
    if "body" not in fields:
        return _plain(fields, raw, where)
    envelope = _decoded(_ENVELOPE, raw, where)
    if envelope.method not in (None, _METHOD):
        raise invalid(f"{where}.method", f"'method' of a request must be {_METHOD}.")
    if envelope.url not in (None, PATH):
        raise invalid(f"{where}.url", f"'url' of a request must be {PATH}.")
    _decoded(_OBJECT, envelope.body, f"{where}.body")
    return envelope.custom_id or "", bytes(envelope.body)


def _plain(fields: Mapping[str, msgspec.Raw], raw: msgspec.Raw, where: str) -> tuple[str, bytes]:
    """A chat request as it is, which may have a `custom_id` beside its fields."""
    if "custom_id" not in fields:
        return "", bytes(raw)
    custom_id = _decoded(_TEXT, fields["custom_id"], f"{where}.custom_id")
    return custom_id, encode({name: value for name, value in fields.items() if name != "custom_id"})


def _within(value: int | None, bounds: range, param: str) -> int:
    """What the wire can carry; narrower bounds are the jobs service's."""
    if value is not None and value not in bounds:
        raise invalid(param, f"'{param}' is out of all bounds.")
    return value or 0


def _decoded(decoder: Any, raw: bytes | msgspec.Raw, under: str) -> Any:
    try:
        return decoder.decode(raw)
    except _Bad as problem:
        raise from_msgspec(problem, under) from problem
