import grpc
import pytest

from libs.errors import TABLE, PlatformError, Reason


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_has_its_row_and_looks_right_on_every_wire(reason):
    error = PlatformError(reason, "what, why, what to do")
    assert error.status is not grpc.StatusCode.OK
    assert 400 <= error.http_status < 600
    # OpenAI names the type of a spent budget after its code.
    assert TABLE[reason].openai_type.endswith(("error", "insufficient_quota"))
    # The value is the wire's: AIP-193 asks for upper snake case.
    assert reason.value == reason.name


@pytest.mark.parametrize("reason", Reason)
def test_a_callers_fault_is_no_server_error(reason):
    row = TABLE[reason]
    if row.grpc in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.PERMISSION_DENIED):
        assert row.http < 500
    if row.grpc is grpc.StatusCode.UNAVAILABLE:
        assert row.http >= 500


def test_work_counts_as_started_unless_said_otherwise():
    assert PlatformError(Reason.INTERNAL, "x").started
    assert not PlatformError(Reason.OVERLOADED, "x", started=False).started


def test_errors_are_told_apart_by_identity_and_read_with_their_reason():
    one, two = PlatformError(Reason.INTERNAL, "x"), PlatformError(Reason.INTERNAL, "x")
    assert one != two
    assert str(one) == "INTERNAL: x"
