"""When another model may answer after one could not: before anything was sent, and only for what another can cure."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from libs.errors import Reason
from services.gateway.domain.attempts import Outcome, PastAttempt

# The model cannot take this call, whoever runs it, or not in time: another may. Nothing was asked of its workers.
UNFIT = frozenset(
    {
        Reason.CONTEXT_LENGTH_EXCEEDED,
        Reason.UNSUPPORTED_PARAMETER,
        Reason.PRICE_UNKNOWN,
        Reason.MAX_COST_EXCEEDED,
        Reason.NO_WORKER,
        Reason.OVERLOADED,
    }
)
# The name may stand for another variant by now.
CHANGED = frozenset({Reason.NO_WORKER, Reason.WRONG_DIGEST})
# Nobody could run the model just now. What the caller has done, or what the router or the store cannot tell, no other
# model cures.
_CURABLE = frozenset(
    {
        Reason.NO_WORKER,
        Reason.OVERLOADED,
        Reason.WORKER_LOST,
        Reason.WRONG_DIGEST,
        Reason.DRAINING,
        Reason.ENGINE_DEAD,
        Reason.UPSTREAM_ERROR,
        Reason.INTERNAL,
    }
)
_DEATHS = frozenset({Outcome.DEATH, Outcome.LOST})
DEATHS_MAX = 2


class Cure(Enum):
    """`RETRY`: work had begun and failed, so the retry budget must allow another model as it must another attempt."""

    NONE = "no other model"
    FREE = "another model"
    RETRY = "another model, if the budget allows"


def cure_of(reason: Reason, past: Sequence[PastAttempt]) -> Cure:
    """Whether another model may be tried after attempts that ended with `reason`, when nothing was sent.

    A request that has cost two workers their lives is suspected of it, and no third gets it, under whatever name. A
    loss of which it is not known whether the worker lives counts as a death.
    """
    if reason not in _CURABLE or sum([one.outcome in _DEATHS for one in past]) >= DEATHS_MAX:
        return Cure.NONE
    return Cure.RETRY if past and past[-1].outcome is Outcome.FAILED else Cure.FREE
