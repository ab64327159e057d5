from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from services.gateway.adapters.router import as_router_error


@pytest.mark.parametrize(
    "reason",
    [Reason.WORKER_LOST, Reason.DRAINING, Reason.CANCELLED, Reason.DEADLINE_EXCEEDED, Reason.INVALID_API_KEY],
)
def test_a_lost_edge_is_the_router_unavailable_and_nothing_was_started(reason):
    error = as_router_error(PlatformError(reason, "gone"))
    assert (error.reason, error.started, error.http_status) == (Reason.ROUTER_UNAVAILABLE, False, 503)
    assert error.retry_after_seconds


def test_the_routers_own_word_is_passed_on():
    error = as_router_error(PlatformError(Reason.NO_WORKER, "nobody", retry_after_seconds=3.0))
    assert (error.reason, error.started, error.retry_after_seconds) == (Reason.NO_WORKER, False, 3.0)
