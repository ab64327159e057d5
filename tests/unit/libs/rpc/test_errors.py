"""A PlatformError is the same after its way over the wire; a foreign status becomes the reason that fits."""

import grpc
import pytest
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.rpc.errors import decode, decode_bytes, encode

errors = st.builds(
    PlatformError,
    reason=st.sampled_from(Reason),
    message=st.text(max_size=50),
    retry_after_seconds=st.none() | st.integers(0, 86_400_000).map(lambda ms: ms / 1000),
    started=st.booleans(),
    param=st.none() | st.text(max_size=20),
)


@given(errors)
def test_every_field_survives_the_wire(error):
    found = decode_bytes(encode(error).SerializeToString())
    assert vars(found) == vars(error)


@given(errors)
def test_the_status_code_is_the_reasons(error):
    assert encode(error).code == error.status.value[0]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNAVAILABLE, Reason.WORKER_LOST),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, Reason.OVERLOADED),
        (grpc.StatusCode.DATA_LOSS, Reason.INTERNAL),
    ],
)
def test_a_foreign_status_counts_as_started(code, reason):
    found = decode(status_pb2.Status(code=code.value[0], message="from a proxy"))
    assert (found.reason, found.message, found.started) == (reason, "from a proxy", True)


def test_a_reason_of_a_newer_peer_falls_back_to_its_code():
    status = encode(PlatformError(Reason.OVERLOADED, "full", started=False))
    info = error_details_pb2.ErrorInfo(reason="OF_TOMORROW", domain="headrace", metadata={"started": "false"})
    packed = any_pb2.Any()
    packed.Pack(info)
    del status.details[:]
    status.details.append(packed)
    found = decode(status)
    assert (found.reason, found.started) == (Reason.OVERLOADED, False)


def test_details_of_another_domain_are_not_ours():
    status = status_pb2.Status(code=8)
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason="NOT_FOUND", domain="example.com"))
    status.details.append(packed)
    assert decode(status).reason is Reason.OVERLOADED


def test_bytes_that_are_no_status_are_internal():
    assert decode_bytes(b"\xff\xff\xff").reason is Reason.INTERNAL
