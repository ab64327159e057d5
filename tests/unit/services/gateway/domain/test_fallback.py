"""Which failures another model may cure."""

from __future__ import annotations

import pytest

from libs.errors import Reason
from services.gateway.domain.attempts import Outcome, PastAttempt
from services.gateway.domain.fallback import Cure, cure_of


def past(*outcomes):
    return [PastAttempt(f"w{at}", "a", "b", outcome) for at, outcome in enumerate(outcomes)]


@pytest.mark.parametrize(
    ("reason", "outcomes", "cure"),
    [
        (Reason.NO_WORKER, (), Cure.FREE),
        (Reason.OVERLOADED, (Outcome.NOT_STARTED,) * 3, Cure.FREE),
        (Reason.WORKER_LOST, (Outcome.DEATH,), Cure.FREE),
        (Reason.WORKER_LOST, (Outcome.DEATH, Outcome.DRAIN), Cure.FREE),
        (Reason.WORKER_LOST, (Outcome.DEATH, Outcome.DEATH), Cure.NONE),
        (Reason.WORKER_LOST, (Outcome.DEATH, Outcome.LOST), Cure.NONE),
        (Reason.NO_WORKER, (Outcome.LOST, Outcome.NOT_STARTED, Outcome.LOST), Cure.NONE),
        (Reason.INTERNAL, (Outcome.FAILED,), Cure.RETRY),
        (Reason.UPSTREAM_ERROR, (Outcome.FAILED,), Cure.RETRY),
        (Reason.INVALID_REQUEST, (Outcome.FINAL,), Cure.NONE),
        (Reason.DEADLINE_EXCEEDED, (), Cure.NONE),
        (Reason.ROUTER_UNAVAILABLE, (), Cure.NONE),
        (Reason.STORE_UNAVAILABLE, (), Cure.NONE),
        (Reason.BUDGET_EXCEEDED, (), Cure.NONE),
        (Reason.RATE_LIMITED, (), Cure.NONE),
    ],
)
def test_what_another_model_may_cure(reason, outcomes, cure):
    assert cure_of(reason, past(*outcomes)) is cure
