"""Which models may answer a call, in order, each with its prompt prepared."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from libs.errors import PlatformError, Reason
from services.gateway.domain.choose import AUTO_NAMES, TIERS, ChooseQuery
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.route import Choice, PassedOver, Route
from services.gateway.domain.sessions import affinity_key
from services.gateway.domain.turn_facts import turn_facts
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.ports import Catalog, Metadata, Router
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.prepare import Preparer

# Of the router's answer: with every model a call may be held, prepared and refused once more.
CHOICES_MAX = 8
SAME_TIER = "fallback-same-tier"
# The router that does not know Choose, or not this pool, leaves the pool as it is.
_SILENT = frozenset({Reason.ROUTER_UNAVAILABLE, Reason.UNIMPLEMENTED, Reason.MODEL_NOT_FOUND})


class Variants:
    """A named model is obeyed. For "auto" and its kin, and for pools that are split, the router's Choose says which.

    First `look_up`, then `choose`, then `prepare`, and `next` as often as a model does not do.
    """

    __slots__ = (
        "_catalog", "_deadline", "_info", "_left", "_metadata", "_preparer", "_principal", "_request", "route",
    )  # fmt: skip

    def __init__(
        self,
        catalog: Catalog,
        preparer: Preparer,
        request: ChatRequest,
        principal: Principal,
        *,
        deadline: Deadline,
        metadata: Metadata,
    ) -> None:
        self._catalog = catalog
        self._preparer = preparer
        self._request = request
        self._principal = principal
        self._deadline = deadline
        self._metadata = metadata
        self._left: deque[int] = deque()
        self._info: ModelInfo | None = None
        self.route = Route(request.model)

    def look_up(self) -> None:
        """Settles what the name means. Raises MODEL_NOT_ALLOWED, MODEL_NOT_FOUND, UNSUPPORTED_PARAMETER, or
        ROUTER_UNAVAILABLE when nobody can tell.
        """
        name = self._request.model
        check_allowed(name, self._principal)
        if name in AUTO_NAMES:
            return
        if self._request.constraints.min_tier:
            raise _tier_of_a_name(name)
        self._info = self._catalog.find(name)
        if self._info is None:
            raise self._unknown(name)

    @property
    def info(self) -> ModelInfo | None:
        """The model at hand; None = it is not known yet."""
        return self._info

    @property
    def settled(self) -> bool:
        """Whether the name is a model's, so that there is nothing to choose."""
        return self._info is not None and not self._info.routed

    async def choose(self, router: Router, request_id: str, timeout: float) -> None:
        """Has the router put models in order where the name is no single model.

        Raises MODEL_NOT_FOUND, MODEL_NOT_ALLOWED, ROUTER_UNAVAILABLE. A pool of variants is used as it is while the
        router is away.
        """
        info = self._info
        if info is not None and not info.routed:
            return
        left = self._deadline.left(timeout)
        try:
            found = await router.choose(self._query(request_id), timeout=left, metadata=self._metadata)
        except PlatformError as error:
            if info is None or error.reason not in _SILENT:
                raise
            return
        route = self.route
        route.choices, route.decision = found.choices[:CHOICES_MAX], found.decision
        self._left.extend(range(len(route.choices)))
        if not self._step() and info is None:
            raise self._none_left()

    def _query(self, request_id: str) -> ChooseQuery:
        request, principal = self._request, self._principal
        session, allowed = request.session.explicit, principal.models
        return ChooseQuery(
            request_id,
            principal.tenant,
            request.model,
            turn_facts(request),
            session,
            "" if session else affinity_key(request, principal.tenant),
            request.constraints.min_tier,
            () if allowed is None or self._info is not None else tuple(sorted(allowed - AUTO_NAMES)),
        )

    async def prepare(self, request_id: str, opened: datetime | None) -> Work:
        """The work for the model at hand. Raises PlatformError as Preparer does."""
        if self._info is None:
            raise RuntimeError("choose() comes before prepare()")
        work = await self._preparer.prepare(
            self._request,
            self._info,
            self._principal,
            request_id=request_id,
            opened=opened,
            deadline=self._deadline,
        )
        if self.route.choices:
            work.pool = self.route.choice.pool
        return work

    def renewed(self) -> bool:
        """Whether the name at hand stands for another variant by now, which is then the one at hand."""
        if self._info is None:
            return False
        current = self._catalog.find(self._info.name)
        if current is None or current.model_digest == self._info.model_digest:
            return False
        self._info = current
        return True

    def next(self, why: str, *, tried: bool) -> bool:
        """Passes the model at hand over for the next one; False when there is none."""
        if not self.route.choices:
            return False
        self.route.passed_over.append(PassedOver(self.route.choice.model, why, tried))
        if why == Reason.OVERLOADED:
            # Weights are the split under load, too: a canary is not to get what a full stable variant cannot take.
            self._left = deque(at for at in self._left if not self._same_pool(at))
        return self._step()

    @property
    def same_tier_next(self) -> bool:
        """Whether the next model is another pool of the same tier: then nobody waits for this one's workers."""
        if not self._left or self._same_pool(self._left[0]):
            return False
        return self.route.choices[self._left[0]].reason == SAME_TIER

    def _same_pool(self, at: int) -> bool:
        """Whether that choice is another variant of the pool at hand."""
        pool = self.route.choice.pool
        return bool(pool) and self.route.choices[at].pool == pool

    def _step(self) -> bool:
        while self._left:
            at = self._left.popleft()
            choice = self.route.choices[at]
            info = self._catalog.find(choice.model)
            why = self._barred(choice) or ("" if info is not None else "not-served")
            if not why:
                self._info, self.route.used = info, at
                return True
            self.route.passed_over.append(PassedOver(choice.model, why))
        return False

    def _barred(self, choice: Choice) -> str:
        """Why a choice of the router may not be used, "" = it may. The router was told; it is not taken at its word.

        Who may use a pool may use what the pool is split into.
        """
        allowed, least = self._principal.models, self._request.constraints.min_tier
        if allowed is not None and self._request.model in AUTO_NAMES and (choice.pool or choice.model) not in allowed:
            return "not-allowed"
        below = least and choice.tier in TIERS and TIERS.index(choice.tier) < TIERS.index(least)
        return "below-min-tier" if below else ""

    def _none_left(self) -> PlatformError:
        name, passed = self._request.model, self.route.passed_over
        if passed and all(one.why == "not-allowed" for one in passed):
            return _not_allowed(name)
        if passed and any(one.why == "below-min-tier" for one in passed):
            message = (
                f"'{name}' has no model of the tier '{self._request.constraints.min_tier}' or above. Lower min_tier."
            )
            return PlatformError(Reason.MODEL_NOT_FOUND, message, started=False, param="headrace.min_tier")
        return self._unknown(name)

    def _unknown(self, name: str) -> PlatformError:
        if not self._catalog.connected():
            message = "The router does not answer, so it is not known which models there are. Try again shortly."
            return PlatformError(Reason.ROUTER_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        message = f"The model '{name}' does not exist. GET /v1/models lists those that do."
        return PlatformError(Reason.MODEL_NOT_FOUND, message, started=False, param="model")


def check_allowed(name: str, principal: Principal) -> None:
    """Raises MODEL_NOT_ALLOWED for a name that the key may not use: "auto" takes another model to choose from."""
    allowed = principal.models
    if allowed is not None and (allowed <= AUTO_NAMES if name in AUTO_NAMES else name not in allowed):
        raise _not_allowed(name)


def _not_allowed(name: str) -> PlatformError:
    if name in AUTO_NAMES:
        message = (
            f"'{name}' chooses among the models that an API key may use, and this key may use none of them. "
            "GET /v1/me lists what it may use."
        )
    else:
        message = f"This API key may not use the model '{name}'. GET /v1/me lists what it may use."
    return PlatformError(Reason.MODEL_NOT_ALLOWED, message, started=False, param="model")


def _tier_of_a_name(name: str) -> PlatformError:
    message = (
        f"'min_tier' is for the model 'auto', and '{name}' is obeyed as it is named. "
        "Leave one of them out: send 'auto' with min_tier, or the model without it."
    )
    return PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param="headrace.min_tier")
