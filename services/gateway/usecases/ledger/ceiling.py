"""What one call may cost at most, where its caller set that: refused before it is held, and never passed."""

from __future__ import annotations

from dataclasses import replace

from libs.errors import PlatformError, Reason
from libs.money import to_dollars
from services.gateway.domain.ledger.payable import prompt_estimate, step_of
from services.gateway.domain.ledger.pricing import affordable, most
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.usecases.ledger.charge import ANSWER_TOKENS_UNKNOWN, Charges


def under_ceiling(charges: Charges, request: ChatRequest, principal: Principal, work: Work, max_cost: int) -> Work:
    """The work, which cannot cost more than `max_cost` nano-dollars. Raises MAX_COST_EXCEEDED, PRICE_UNKNOWN.

    Where the caller bounds the answer, all of it must be affordable. Where it does not, an answer of the usual length
    must be, and it ends (finish reason "length") where the money does.
    """
    price, n = charges.price_of(work, principal), max(1, request.sampling.n)
    prompt, bound = work.prompt_tokens or prompt_estimate(request), (work.max_tokens or ANSWER_TOKENS_UNKNOWN) * n
    wanted = bound
    if request.sampling.max_tokens is None:
        wanted = charges.estimates.tokens((principal.key_id, work.info.name, step_of(request)), bound)
    worst = most(price, prompt, wanted)
    if worst > max_cost:
        raise _too_dear(work.info.name, worst, max_cost)
    if most(price, prompt, bound) <= max_cost:
        return work
    return replace(work, max_tokens=max(1, affordable(price, prompt, max_cost) // n))


def _too_dear(model: str, worst: int, max_cost: int) -> PlatformError:
    message = (
        f"This call may cost {to_dollars(worst)} USD on '{model}', and its max_cost is {to_dollars(max_cost)} USD. "
        "Nothing was started. Raise max_cost, or lower max_tokens or the prompt."
    )
    headers = {"x-should-retry": "false"}
    return PlatformError(Reason.MAX_COST_EXCEEDED, message, started=False, param="headrace.max_cost", headers=headers)
