"""One call's money: held before a worker is asked, extended while the answer runs, settled when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.money import NANODOLLARS_MAX, to_dollars
from services.gateway.domain.accounts.records import Price
from services.gateway.domain.ledger.estimate import OutputEstimates
from services.gateway.domain.ledger.holds import again, beside, for_model
from services.gateway.domain.ledger.payable import payable, prompt_estimate, step_of
from services.gateway.domain.ledger.pricing import more, most, shared, used
from services.gateway.domain.ledger.types import (
    Ask,
    End,
    HoldReply,
    Outcome,
    Progress,
    Settlement,
    Standing,
    UsageMeta,
)
from services.gateway.domain.record import CallRecord
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.metrics import LedgerMetrics
from services.gateway.ports import Ledger, PriceBook

# A further hold is asked for when so few tokens per choice are left of the last one: time for the store to answer.
LOW_TOKENS = 16
EXTENSION_TOKENS_MIN = 64
# Of an engine that counts for itself, where the client names no bound.
ANSWER_TOKENS_UNKNOWN = 4096
# Holds of one request, one after another: each but the first follows a gateway that was lost.
TRIES_MAX = 5
# How long a stream waits for a store that must say whether it may go on: longer than gateways wait for each other when
# the store has restarted (lives.py).
UNDECIDED_SECONDS = 4.0
_RETRY_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Charges:
    """What every charge works with; one object per process."""

    ledger: Ledger
    prices: PriceBook
    estimates: OutputEstimates
    clock: Clock
    metrics: LedgerMetrics

    def price_of(self, work: Work, principal: Principal) -> Price:
        """The price of the model that answers; raises PRICE_UNKNOWN: what has no price is not sold."""
        names = (work.info.name, work.info.model)
        price = self.prices.find(work.pool, *names) if work.pool else self.prices.find(*names)
        if price is None:
            message = (
                f"The model '{work.info.name}' has no price, so it cannot be called. "
                "An administrator sets one: PUT /v1/admin/prices, or `prices` in the gateway's settings."
            )
            raise PlatformError(Reason.PRICE_UNKNOWN, message, started=False, param="model")
        return price if principal.reserved is None else shared(price, principal.reserved.price_ppm)


class Charge:
    """The account of one call. `room` output tokens may be delivered in all; `truncated` says why it ended sooner."""

    __slots__ = (
        "_ask", "_bound", "_charges", "_expired", "_inherits", "_kind", "_low", "_record", "_refused", "_used_now",
        "room", "standing", "truncated",
    )  # fmt: skip

    def __init__(
        self,
        charges: Charges,
        record: CallRecord,
        used_now: Callable[[], tuple[int, int, int]],
        *,
        inherits: bool = False,
    ) -> None:
        """`used_now`: prompt, cached and completion tokens of the running call.

        `inherits`: a gateway that was lost has begun it, and its client has a part, which is not given back.
        """
        self._charges = charges
        self._record = record
        self._used_now = used_now
        self._ask: Ask | None = None
        # The hold of an earlier try whose gateway was lost: it was charged for what had been sent by then.
        self._expired: Ask | None = None
        self._kind = ("", "", "")
        self._bound = self._low = self.room = 0
        self._refused, self._inherits = False, inherits
        self.standing = Standing()
        self.truncated = ""

    async def open(self, request: ChatRequest, principal: Principal, work: Work) -> None:
        """Holds what the call is expected to cost. Raises PlatformError: nothing was started.

        Called again when another model is to answer: that is held anew, at its price.
        """
        price, n = self._charges.price_of(work, principal), max(1, request.sampling.n)
        if self._ask is not None:
            self._charges.ledger.settle(self._ask, Settlement(self._ask.tenant, self._ask.request_id, End.REFUNDED))
            self._ask = None
        hold_name = for_model(work.request_id, self._record.variants)
        self._record.variants += 1
        self._kind = (principal.key_id, work.info.name, step_of(request))
        self._bound, self._low = (work.max_tokens or ANSWER_TOKENS_UNKNOWN) * n, LOW_TOKENS * n
        tokens = self._charges.estimates.tokens(self._kind, self._bound) if work.prompt is not None else self._bound
        prompt = work.prompt_tokens or prompt_estimate(request)
        if most(price, prompt, self._bound) > NANODOLLARS_MAX:
            raise beyond_count()
        meta = _meta(request, principal, work, price)
        self._ask = Ask(
            tenant=principal.tenant,
            request_id=hold_name,
            scopes=_scopes(request, principal),
            amount=most(price, prompt, tokens),
            tokens=prompt + tokens,
            meta=meta,
            prompt=used(meta, prompt, 0, 0),
            reservation=principal.reserved.reservation if principal.reserved is not None else "",
            inherited=self._inherits and hold_name == work.request_id,
        )
        reply = await self._hold()
        self.standing, self.room = reply.standing, reply.tokens - prompt

    async def _hold(self) -> HoldReply:
        """Holds; where a hold of this request has ended already, another one beside it."""
        ask = self._ask
        assert ask is not None  # noqa: S101 - just made
        try:
            reply = await self._charges.ledger.hold(ask, self.progress)
            for number in range(1, TRIES_MAX):
                if reply.outcome is not Outcome.ENDED:
                    break
                if reply.ended is not End.REFUNDED and self._expired is None:
                    self._expired = ask
                name = again(ask.request_id, number) if self._expired is None else beside(ask.request_id, number)
                ask = replace(ask, request_id=name, inherited=False)
                reply = await self._charges.ledger.hold(ask, self.progress)
        except BaseException:
            self._ask = None
            raise
        if reply.outcome is Outcome.ENDED:
            self._ask = None
            raise _lost_too_often()
        self._ask = ask
        return reply

    @property
    def low(self) -> int:
        """Below so many tokens of room a further hold is due; 0 when all that the call may produce is held."""
        return self._low if self.room < self._bound else 0

    def progress(self) -> Progress:
        """What the call has used by now."""
        return self._used(*self._used_now())

    def _used(self, prompt: int, cached: int, completion: int, reasoning: int = 0) -> Progress:
        assert self._ask is not None  # noqa: S101 - opened before anything is used
        return used(self._ask.meta, prompt or self._ask.prompt.prompt_tokens, cached, completion, reasoning)

    async def make_room(self, delivered: int, needed: int) -> int:
        """Output tokens that may be delivered in all, after a further hold where `delivered` and `needed` more want it.

        When no further hold can be had and the room does not suffice, `truncated` says why.
        """
        missing = delivered + needed - self.room
        if missing > 0 or (not self._refused and self.room - delivered - needed < self.low):
            await self._extend(max(missing, 0))
        return self.room

    async def _extend(self, missing: int) -> None:
        usual = max(EXTENSION_TOKENS_MIN, self.room // 2, missing)
        if await self._ask_for(usual, must=missing > 0):
            return
        self._refused = True
        if missing and not self.truncated and not (missing < usual and await self._ask_for(missing, must=True)):
            self.truncated = self.truncated or "budget"

    async def _ask_for(self, tokens: int, *, must: bool) -> bool:
        """Holds for so many more tokens; a store that is away decides nothing, and is asked again for a while."""
        tokens = min(tokens, self._bound - self.room)
        if tokens <= 0:
            return False
        ask, clock = self._ask, self._charges.clock
        assert ask is not None  # noqa: S101 - opened before anything is delivered
        until = clock.monotonic() + (UNDECIDED_SECONDS if must else 0.0)
        while True:
            try:
                outcome = await self._charges.ledger.extend(ask, more(ask.meta, tokens), tokens, self.progress())
            except PlatformError:
                if clock.monotonic() < until:
                    await clock.sleep(_RETRY_SECONDS)
                    continue
                if must:
                    self.truncated = "store_unavailable"
                return False
            if outcome is Outcome.OK:
                self.room += tokens
            elif must and outcome is Outcome.OFF:
                self.truncated = "access_ended"
            return outcome is Outcome.OK

    def cost(self) -> int:
        """What the customer pays for the call as its record stands."""
        record = self._record
        if self._ask is None or not payable(record):
            return 0
        record.cost = self._used(record.prompt_tokens, record.cached_tokens, record.completion_tokens).cost
        return record.cost

    def leave(self) -> None:
        """Another gateway goes on with the call, under the same hold: what it cost is for that one to say."""
        if self._ask is not None:
            self._charges.ledger.leave(self._ask)
            self._ask = None

    def end(self, reasoning_tokens: int) -> None:
        """Settles or refunds. The record is complete; a repeat does nothing."""
        ask, record, ledger = self._ask, self._record, self._charges.ledger
        # Call and charge know each other: left so, both would wait for the garbage collector, and calls for it.
        self._used_now = lambda: (record.prompt_tokens, record.cached_tokens, record.completion_tokens)
        if ask is None:
            return
        record.truncated = self.truncated
        if self.truncated:
            self._charges.metrics.truncated()
        if not payable(record):
            self._give_back(ask)
            return
        progress = self._used(record.prompt_tokens, record.cached_tokens, record.completion_tokens, reasoning_tokens)
        record.cost = progress.cost
        platform = used(ask.meta, record.reprefill_tokens, 0, 0).cost if record.reprefill_tokens else 0
        if self._expired is not None:
            # What was charged then is corrected to the whole; the hold beside it has only kept the room for it.
            ledger.settle(ask, Settlement(ask.tenant, ask.request_id, End.REFUNDED))
            ask = self._expired
        ledger.settle(ask, Settlement(ask.tenant, ask.request_id, End.SETTLED, progress, platform))
        if not record.error:
            self._charges.estimates.learn(self._kind, record.completion_tokens)

    def _give_back(self, ask: Ask) -> None:
        if ask.inherited and self._record.streamed:
            # A lost gateway has delivered a part: that is charged when the lease ends, at what the workers sent.
            self.leave()
        else:
            self._charges.ledger.settle(ask, Settlement(ask.tenant, ask.request_id, End.REFUNDED))


def beyond_count() -> PlatformError:
    """The amount is none that can be kept."""
    message = (
        f"This call may cost more than {to_dollars(NANODOLLARS_MAX)} USD, the largest amount that is kept. "
        "Lower max_tokens or n, or have an administrator look at the model's price."
    )
    return PlatformError(Reason.BUDGET_EXCEEDED, message, started=False, headers={"x-should-retry": "false"})


def _lost_too_often() -> PlatformError:
    message = (
        f"{TRIES_MAX} gateways were lost while they made this answer, so it is not tried again. "
        "Send the request anew, with another Idempotency-Key."
    )
    return PlatformError(Reason.STREAM_INTERRUPTED, message, started=False)


def _scopes(request: ChatRequest, principal: Principal) -> tuple[str, ...]:
    """From the widest on; a session tree counts as one."""
    scopes = ["t"]
    if principal.account_user:
        scopes.append(f"u:{principal.account_user}")
    scopes.append(f"k:{principal.key_id}")
    session = request.session
    if session.explicit:
        scopes.append(f"s:{session.root or session.explicit}")
    return tuple(scopes)


def _meta(request: ChatRequest, principal: Principal, work: Work, price: Price) -> UsageMeta:
    session = request.session
    return UsageMeta(
        key=principal.key_id,
        user=principal.account_user,
        end_user=request.user,
        model=work.info.name,
        session=session.explicit,
        root_session=session.root if session.explicit else "",
        tags={**request.metadata, **dict(principal.tags)},
        input_price=price.input_nanodollars,
        cached_price=min(price.cached_nanodollars, price.input_nanodollars),
        output_price=price.output_nanodollars,
    )
