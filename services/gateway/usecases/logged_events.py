"""Events as they stand in an answer's log: one entry is what was ready together, as MessagePack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from services.gateway.events import Delta, Ended, Event, Started


@dataclass(slots=True)
class Failed:
    """How an answer broke; the last event of its log."""

    reason: str
    message: str
    retry_after_seconds: float | None = None
    param: str | None = None

    def error(self) -> PlatformError:
        """The error that the first client was told."""
        return PlatformError(Reason(self.reason), self.message, self.retry_after_seconds, param=self.param)


Logged = Event | Failed
_entry = msgspec.msgpack.Decoder(list[tuple[str, msgspec.Raw]])
_started = msgspec.msgpack.Decoder(Started)
_ended = msgspec.msgpack.Decoder(Ended)
_failed = msgspec.msgpack.Decoder(Failed)
_bytes = msgspec.msgpack.Decoder(bytes)


def failed(error: PlatformError) -> Failed:
    """The event of an error."""
    return Failed(error.reason.value, error.message, error.retry_after_seconds, error.param)


def encode(events: Sequence[Logged]) -> bytes:
    """One entry. Fields are named, so that gateways of several versions read each other's logs."""
    return msgspec.msgpack.encode([_tagged(event) for event in events])


def _tagged(event: Logged) -> tuple[str, object]:
    if type(event) is Delta:
        return "d", event.response.SerializeToString()
    if type(event) is Started:
        return "s", event
    return ("e" if type(event) is Ended else "f"), event


def decode(entry: bytes) -> list[Logged]:
    """The events of an entry; those of kinds that this version does not know are left out."""
    found: list[Logged] = []
    for tag, raw in _entry.decode(entry):
        if tag == "d":
            found.append(Delta(GenerateResponse.FromString(_bytes.decode(raw))))
        elif tag == "s":
            found.append(_started.decode(raw))
        elif tag == "e":
            found.append(_ended.decode(raw))
        elif tag == "f":
            found.append(_failed.decode(raw))
    return found
