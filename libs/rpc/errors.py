"""PlatformError on the wire: `google.rpc.Status` with `ErrorInfo` and `RetryInfo` (AIP-193)."""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

from libs.errors import DOMAIN, PlatformError, Reason

DETAILS_KEY: Final = "grpc-status-details-bin"
_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}
# What a status without our ErrorInfo means: a peer's proxy or grpc itself spoke.
_BY_STATUS: Final = {
    grpc.StatusCode.UNAVAILABLE: Reason.WORKER_LOST,
    grpc.StatusCode.DEADLINE_EXCEEDED: Reason.DEADLINE_EXCEEDED,
    grpc.StatusCode.CANCELLED: Reason.CANCELLED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Reason.OVERLOADED,
    grpc.StatusCode.UNIMPLEMENTED: Reason.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED: Reason.INVALID_API_KEY,
    grpc.StatusCode.PERMISSION_DENIED: Reason.PERMISSION_DENIED,
    grpc.StatusCode.INVALID_ARGUMENT: Reason.INVALID_REQUEST,
    grpc.StatusCode.NOT_FOUND: Reason.NOT_FOUND,
}


def _pack(message: error_details_pb2.ErrorInfo | error_details_pb2.RetryInfo) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed


def encode(error: PlatformError) -> status_pb2.Status:
    """The wire form of an error."""
    metadata = {"started": "true" if error.started else "false"}
    if error.param is not None:
        metadata["param"] = error.param
    info = error_details_pb2.ErrorInfo(reason=error.reason.value, domain=DOMAIN, metadata=metadata)
    status = status_pb2.Status(code=error.status.value[0], message=error.message, details=[_pack(info)])
    if error.retry_after_seconds is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromNanoseconds(round(error.retry_after_seconds * 1e9))
        status.details.append(_pack(retry))
    return status


def decode(status: status_pb2.Status) -> PlatformError:
    """The error behind a status; one without our ErrorInfo becomes the reason that fits its code, started."""
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    error = PlatformError(_BY_STATUS.get(code, Reason.INTERNAL), status.message)
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Unpack(info) and info.domain == DOMAIN:
            error.reason = Reason(info.reason) if info.reason in Reason.__members__ else error.reason
            error.started = info.metadata.get("started") != "false"
            error.param = info.metadata.get("param")
        elif detail.Unpack(retry):
            error.retry_after_seconds = retry.retry_delay.ToNanoseconds() / 1e9
    return error


def decode_bytes(data: bytes) -> PlatformError:
    """As `decode`, from serialized bytes; bytes that do not parse are INTERNAL."""
    try:
        return decode(status_pb2.Status.FromString(data))
    except DecodeError:
        return PlatformError(Reason.INTERNAL, "the peer's error status could not be decoded")
