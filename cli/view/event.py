"""Values of topics as people read them: protobuf as JSON, where the kind is known, without secrets."""

from __future__ import annotations

import importlib
from typing import Any

from google.protobuf.descriptor_pool import Default
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

# What events hold; importing one makes its kinds known.
_MODULES = ("headrace.events.v1.jobs_pb2", "headrace.events.v1.usage_pb2")
_SECRET_FIELDS = frozenset({"secret"})
_MASK = "…"


def event_document(kind: str, value: bytes) -> dict[str, Any] | None:
    """The message of that full name; None for a kind that is not known, and for bytes that are none of it."""
    for module in _MODULES:
        importlib.import_module(module)
    try:
        described = Default().FindMessageTypeByName(kind)
        message = GetMessageClass(described).FromString(value)
    except (KeyError, DecodeError):
        return None
    found = _masked(MessageToDict(message, preserving_proto_field_name=True))
    return found if isinstance(found, dict) else None


def _masked(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _MASK if name in _SECRET_FIELDS and each else _masked(each) for name, each in value.items()}
    return [_masked(each) for each in value] if isinstance(value, list) else value
