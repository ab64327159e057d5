"""Checks requests as if they were made now, and sets aside what they may cost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass, replace

from msgspec import structs

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_MAX
from services.gateway.domain.ledger.payable import prompt_estimate
from services.gateway.domain.ledger.pricing import MILLION, most
from services.gateway.domain.ledger.types import Terms
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.ports import Catalog
from services.gateway.usecases.accounts.holders import KeyHolders
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.ledger.ceiling import under_ceiling
from services.gateway.usecases.ledger.charge import ANSWER_TOKENS_UNKNOWN, Charges, beyond_count
from services.gateway.usecases.ledger.reservations import ReservationDesk
from services.gateway.usecases.prepare import Preparer
from services.gateway.usecases.variants import Variants
from services.gateway.usecases.work.holder import in_background

# The request of a caller; raises PlatformError (a 400) where it is none.
Decode = Callable[[Principal], ChatRequest]
# What says nothing about a request: it may be asked again as it is.
_NOT_ITS_FAULT = frozenset(
    {
        Reason.STORE_UNAVAILABLE, Reason.ROUTER_UNAVAILABLE, Reason.NO_WORKER, Reason.WORKER_LOST, Reason.OVERLOADED,
        Reason.DRAINING, Reason.DEADLINE_EXCEEDED, Reason.INTERNAL,
    }
)  # fmt: skip

# Timers are no finer than the first; a request that waits for its model's tokenizer has not worked so long.
REST_SECONDS_MIN, REST_SECONDS_MAX = 0.001, 0.01


@dataclass(frozen=True, slots=True)
class SetAside:
    """What was set aside in all (nano-dollars), and the model that each request names; "" = it can never be made."""

    amount: int
    models: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReservingMeans:
    """What it works with; one object per process. `batch_ppm`: share of the price that batches pay, in millionths."""

    catalog: Catalog
    preparer: Preparer
    charges: Charges
    holders: KeyHolders
    desk: ReservationDesk
    clock: Clock
    batch_ppm: int


class Reserving:
    """One object per process."""

    def __init__(self, means: ReservingMeans) -> None:
        self._means = means

    async def reserve(
        self, reservation: str, holder: tuple[str, str], requests: Sequence[Decode], deadline: float, *, batch: bool
    ) -> SetAside:
        """`holder` is (tenant, key id), `deadline` in `Clock.monotonic` seconds. A repeat changes nothing.

        Raises PlatformError: INVALID_API_KEY, BUDGET_EXCEEDED, CONFLICT (released), STORE_UNAVAILABLE, or what is wrong
        with a request, its place in front of `param`. With `batch`, requests that can never be made raise nothing.
        """
        means = self._means
        found = await means.holders.principal(*holder)
        terms = Terms(found.key_id, found.account_user, means.batch_ppm if batch else MILLION)
        principal = in_background(found, reservation, terms)
        looked = [
            look async for look in self._looks(requests, principal, Deadline(means.clock, deadline, 0.0), batch=batch)
        ]
        amount, models = sum(cost for _, cost in looked), tuple(model for model, _ in looked)
        if amount > NANODOLLARS_MAX:
            raise beyond_count()
        terms = structs.replace(terms, models=tuple(sorted(set(models) - {""})))
        scopes = ["t", *([f"u:{found.account_user}"] if found.account_user else []), f"k:{found.key_id}"]
        return SetAside(await means.desk.reserve(found.tenant, reservation, amount, scopes, terms), models)

    async def _looks(
        self, requests: Sequence[Decode], principal: Principal, deadline: Deadline, *, batch: bool
    ) -> AsyncGenerator[tuple[str, int], None]:
        """Model and cost of each request.

        Live calls go first: no more than one request is looked at in a tick, and half of the time is theirs.
        """
        clock, spent = self._means.clock, 0.0
        for place, decode in enumerate(requests):
            began = clock.monotonic()
            try:
                found = await self._look(decode, principal, deadline)
            except PlatformError as error:
                if not batch or error.reason in _NOT_ITS_FAULT:
                    raise _at(place, error) from error
                found = "", 0
            yield found
            spent += min(clock.monotonic() - began, REST_SECONDS_MAX)
            await asyncio.sleep(0)
            if spent >= REST_SECONDS_MIN:
                await clock.sleep(spent)
                spent = 0.0

    async def _look(self, decode: Decode, principal: Principal, deadline: Deadline) -> tuple[str, int]:
        request = decode(principal)
        variants = Variants(
            self._means.catalog, self._means.preparer, request, principal, deadline=deadline, metadata={}
        )
        variants.look_up()
        if variants.info is None:
            return request.model, self._dearest(request, principal)
        work = await self._work(variants, variants.info, request)
        max_cost = request.constraints.max_cost
        if max_cost is not None:
            work = under_ceiling(self._means.charges, request, principal, work, max_cost)
        return request.model, self._most(request, principal, work)

    async def _work(self, variants: Variants, info: ModelInfo, request: ChatRequest) -> Work:
        """Prepared as for a live call; estimated where nobody has the tokenizer just now."""
        try:
            return await variants.prepare("", None)
        except PlatformError as error:
            if error.reason is not Reason.NO_WORKER:
                raise
        return self._means.preparer.uncounted(request, info)

    def _most(self, request: ChatRequest, principal: Principal, work: Work) -> int:
        price, n = self._means.charges.price_of(work, principal), max(1, request.sampling.n)
        bound = (work.max_tokens or ANSWER_TOKENS_UNKNOWN) * n
        amount = most(price, work.prompt_tokens or prompt_estimate(request), bound)
        if amount > NANODOLLARS_MAX:
            raise beyond_count()
        return amount

    def _dearest(self, request: ChatRequest, principal: Principal) -> int:
        """The router will choose the model: enough for the dearest one that it may."""
        means, allowed = self._means, principal.models
        amounts = []
        for info in means.catalog.models():
            if allowed is not None and info.name not in allowed:
                continue
            try:
                amounts.append(self._most(request, principal, means.preparer.uncounted(request, info)))
            except PlatformError as error:
                if error.reason not in (Reason.PRICE_UNKNOWN, Reason.UNSUPPORTED_PARAMETER):
                    raise
        if not amounts:
            raise self._none_to_choose(request.model)
        worst, max_cost = max(amounts), request.constraints.max_cost
        return worst if max_cost is None else min(worst, max_cost)

    def _none_to_choose(self, name: str) -> PlatformError:
        if not self._means.catalog.models():
            message = "No router says which models there are. Try again shortly."
            return PlatformError(Reason.ROUTER_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        message = (
            f"No model that '{name}' may choose for this API key has a price, so none can be called. "
            "An administrator sets one: PUT /v1/admin/prices, or `prices` in the gateway's settings."
        )
        return PlatformError(Reason.PRICE_UNKNOWN, message, started=False, param="model")


def _at(place: int, error: PlatformError) -> PlatformError:
    where = f"requests[{place}]"
    return replace(error, param=f"{where}.{error.param}" if error.param else where)
