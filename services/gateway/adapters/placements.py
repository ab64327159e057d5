"""Plans of bound sessions, remembered: the next call of the same session needs no word from the router.

A bound session goes where it is bound until that worker is lost, so the router would only repeat itself. What could
change its answer is a change of the fleet, which the catalog tells at once, or another replica's decision, which the
router itself learns no sooner than its next look at the store; hence the time limit.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from libs.clock import Clock
from libs.resilience.jitter import shortened
from libs.telemetry.metrics import Registry
from services.gateway.adapters.remembered_choices import RememberedChoices
from services.gateway.domain.choose import Choices, ChooseQuery
from services.gateway.domain.plan import PlaceQuery, Plan
from services.gateway.ports import Metadata, Router

BOUND = "bound"
_Key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True)
class PlacementLimits:
    """`keep_seconds` after the router's word, or up to a quarter less, a plan is asked for again (0 = always).

    `sessions_max` are kept.
    """

    keep_seconds: float = 30.0
    sessions_max: int = 100_000


class PlacementLabels(NamedTuple):
    """`source` is "router" or "remembered"."""

    source: str


class _Kept(NamedTuple):
    plan: Plan
    catalog: int
    until: float


class RememberingRouter:
    """See ports.Router. `catalog_version` changes with every word of the router on its workers."""

    def __init__(
        self,
        router: Router,
        catalog_version: Callable[[], int],
        clock: Clock,
        limits: PlacementLimits,
        registry: Registry,
        *,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        """`uniform` gives numbers from 0 to 1, for the jitter."""
        self._uniform = uniform
        self._router = router
        self._version = catalog_version
        self._clock = clock
        self._limits = limits
        self._kept: OrderedDict[_Key, _Kept] = OrderedDict()
        self._choices = RememberedChoices(
            catalog_version, clock, limits.keep_seconds, limits.sessions_max, uniform=uniform
        )
        self._placements = registry.counter(
            "headrace_gateway_placements_total",
            "Plans that calls started with, by where they came from.",
            PlacementLabels,
        )

    async def choose(self, query: ChooseQuery, *, timeout: float, metadata: Metadata) -> Choices:
        """See ports.Router. Steps of a tool loop keep what their session's turn was given."""
        found = self._choices.find(query)
        if found is None:
            version = self._version()
            found = await self._router.choose(query, timeout=timeout, metadata=metadata)
            self._choices.keep(query, found, version)
        return found

    async def place(self, query: PlaceQuery, *, timeout: float, metadata: Metadata) -> Plan:
        """See ports.Router. A call that has failed somewhere (`exclude_workers`) always asks."""
        key = _key_of(query)
        kept = self._kept.get(key) if query.session else None
        if kept is not None:
            if not query.exclude_workers and kept.catalog == self._version() and kept.until > self._clock.monotonic():
                self._kept.move_to_end(key)
                self._placements.inc(_REMEMBERED)
                return kept.plan
            del self._kept[key]
        version = self._version()
        plan = await self._router.place(query, timeout=timeout, metadata=metadata)
        self._placements.inc(_ASKED)
        if query.session and not query.exclude_workers and _settled(plan):
            # What it says of caches holds for this call alone: the next one's are another's.
            kept_plan = replace(plan, predicted=False)
            until = self._clock.monotonic() + shortened(self._limits.keep_seconds, self._uniform)
            self._keep(key, _Kept(kept_plan, version, until))
        return plan

    def forget(self, query: PlaceQuery) -> None:
        """See ports.Router."""
        self._kept.pop(_key_of(query), None)
        if query.session:
            self._choices.forget(query.tenant, query.session)

    def _keep(self, key: _Key, kept: _Kept) -> None:
        self._kept[key] = kept
        if len(self._kept) > self._limits.sessions_max:
            self._kept.popitem(last=False)


_REMEMBERED, _ASKED = PlacementLabels("remembered"), PlacementLabels("router")


def _key_of(query: PlaceQuery) -> _Key:
    return (query.tenant, query.session, query.model, query.model_digest)


def _settled(plan: Plan) -> bool:
    """A session that is new or has to move is asked for once more: only a plan that begins where it is bound stays."""
    return bool(plan.candidates) and plan.candidates[0].reason == BOUND and not plan.binding_uncertain
