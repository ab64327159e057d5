"""From a tier, or a pool that was named, to the models of a plan."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from libs.errors import PlatformError, Reason
from services.router.domain.catalog import Catalog
from services.router.domain.policy.order import Fallback, PoolChoice, order
from services.router.domain.policy.session import SessionRoute
from services.router.domain.policy.wish import ChoiceReason
from services.router.domain.tiers import Tier, Tiers
from services.router.domain.variants.split import Split
from services.router.usecases.fleet import Fleet


class Pick(NamedTuple):
    """One model of the plan; it stands for `pool`, as its `variant` when the pool is split."""

    model: str
    reason: ChoiceReason
    tier: str = ""
    variant: str = ""
    pool: str = ""


class Plan(NamedTuple):
    """Models, best first, and the route with the variants that it gives."""

    picks: list[Pick]
    route: SessionRoute


class Picking:
    """Makes plans. `splits` are read anew each time."""

    def __init__(self, fleet: Fleet, tiers: Tiers, fallback: Fallback, splits: Mapping[str, Split]) -> None:
        self._fleet = fleet
        self._tiers = tiers
        self._fallback = fallback
        self.splits = splits
        # Plans that depend on nothing but tier, reason and floor, as of one catalog: at most tiers x reasons x floors.
        self._plain: dict[tuple[str, str, str], list[Pick]] = {}
        self._plain_of: Catalog | None = None

    def of_tier(
        self,
        tier: Tier,
        reason: ChoiceReason,
        route: SessionRoute,
        key: str,
        *,
        floor: Tier | None,
        models_allowed: Collection[str],
    ) -> Plan:
        """The pools of a tier, then where to fall back to. Raises PlatformError(MODEL_NOT_ALLOWED)."""
        if self.splits or models_allowed:
            return self._made(tier, reason, route, key, floor, models_allowed)
        catalog, kind = self._fleet.catalog, (tier, reason, floor or "")
        if catalog is not self._plain_of:
            self._plain, self._plain_of = {}, catalog
        picks = self._plain.get(kind)
        if picks is None:
            picks = self._plain[kind] = self._made(tier, reason, route, key, floor, ()).picks
        return Plan(picks, route)

    def _made(
        self,
        tier: Tier,
        reason: ChoiceReason,
        route: SessionRoute,
        key: str,
        floor: Tier | None,
        allowed: Collection[str],
    ) -> Plan:
        plan = order(tier, reason, self._tiers, self._fallback, floor=floor, allowed=allowed)
        if not plan:
            why = "None of the models that this call could use is allowed for the key. Name a model that is."
            raise PlatformError(Reason.MODEL_NOT_ALLOWED, why, started=False, param="model")
        return self._planned(plan, route, key)

    def of_pool(self, pool: str, route: SessionRoute, key: str) -> Plan:
        """The variants of a split pool."""
        split = self.splits[pool]
        picks = _variants(split, route, key, ChoiceReason.VARIANT, "")
        return Plan(self._live_first(picks), route.with_variant(pool, picks[0].variant))

    def _planned(self, plan: list[PoolChoice], route: SessionRoute, key: str) -> Plan:
        picks: list[Pick] = []
        for pool, tier, reason in plan:
            split = self.splits.get(pool)
            if split is None:
                picks.append(Pick(pool, reason, tier, pool=pool))
            else:
                picks += _variants(split, route, key, reason, tier)
        ordered = self._live_first(picks)
        used = ordered[0].pool
        if used not in self.splits:
            return Plan(ordered, route)
        # The variant it was given, though another one may stand in for it while its workers are away.
        given = next(pick.variant for pick in picks if pick.pool == used)
        return Plan(ordered, route.with_variant(used, given))

    def _live_first(self, picks: list[Pick]) -> list[Pick]:
        entries = self._fleet.catalog.entries
        dead = [pick for pick in picks if (entry := entries.get(pick.model)) is None or not entry.default.workers]
        return [pick for pick in picks if pick not in dead] + dead if dead else picks


def _variants(split: Split, route: SessionRoute, key: str, reason: ChoiceReason, tier: str) -> list[Pick]:
    first, *others = split.plan(route.variant(split.pool), key)
    return [
        Pick(first.model, reason, tier, first.name, split.pool),
        *(Pick(other.model, ChoiceReason.SAME_TIER, tier, other.name, split.pool) for other in others),
    ]
