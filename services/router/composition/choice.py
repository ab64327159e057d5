"""What chooses models: tiers, policy, variants."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.clock import Clock
from libs.money import from_dollars
from libs.telemetry.metrics import Registry as MetricRegistry
from services.router.api_choice import ChoiceApi
from services.router.choice_metrics import ChoiceMetrics
from services.router.domain.policy.order import Fallback
from services.router.domain.policy.stay import StayRule
from services.router.domain.policy.wish import Thresholds
from services.router.domain.session_routes import RouteCache
from services.router.domain.tiers import Tier, TierPool, TierPrice, Tiers
from services.router.domain.variants.split import Split, Variant
from services.router.domain.variants.trial import TrialRule
from services.router.policy_settings import TierPoolSettings
from services.router.ports import Judge, SessionRoutes, VariantStore
from services.router.settings import RouterSettings
from services.router.usecases.choosing import Choosing, ChoosingRule
from services.router.usecases.fleet import Fleet
from services.router.usecases.picking import Picking
from services.router.usecases.variants import VariantDesk


class ChoicePorts(NamedTuple):
    """What life and tests give differently."""

    judge: Judge
    routes: SessionRoutes
    variants: VariantStore


class Choice(NamedTuple):
    """The parts that others need: the RPCs, and the desk that takes reports and follows the store."""

    api: ChoiceApi
    choosing: Choosing
    desk: VariantDesk


def compose_choice(
    settings: RouterSettings,
    fleet: Fleet,
    ports: ChoicePorts,
    registry: MetricRegistry,
    *,
    clock: Clock,
    random: Callable[[], float],
) -> Choice:
    """The choice over its ports."""
    metrics, cache, tiers = ChoiceMetrics(registry), RouteCache(settings.policy.cache_size_max), tiers_of(settings)
    desk = VariantDesk(splits_of(settings), ports.variants, trial_rule(settings), metrics, clock=clock, random=random)
    metrics.watch(cache, desk.splits)
    picking = Picking(fleet, tiers, Fallback(settings.policy.fallback), desk.splits)
    rule = choosing_rule(settings, tiers)
    choosing = Choosing(fleet, rule, ports.judge, cache, ports.routes, picking, metrics)
    return Choice(ChoiceApi(choosing, desk, tiers), choosing, desk)


def choosing_rule(settings: RouterSettings, tiers: Tiers) -> ChoosingRule:
    """Thresholds and policy as the domain takes them."""
    of, policy = settings.thresholds, settings.policy
    stay = StayRule(
        policy.cooldown_turns,
        policy.turns_ahead_max,
        policy.output_tokens,
        policy.stall_repeats,
        policy.stall_errors,
    )
    return ChoosingRule(tiers, Thresholds(of.large, of.frontier, of.mode_shift), stay, Tier(policy.unsure))


def tiers_of(settings: RouterSettings) -> Tiers:
    """The tiers with prices in nano-dollars."""
    named = {Tier.SMALL: settings.tiers.small, Tier.LARGE: settings.tiers.large, Tier.FRONTIER: settings.tiers.frontier}
    return Tiers({tier: [TierPool(each.pool, _price(each)) for each in pools] for tier, pools in named.items()})


def splits_of(settings: RouterSettings) -> dict[str, Split]:
    """The variants as the settings have them."""
    return {
        pool: Split(pool, tuple(Variant(each.name, each.model, each.weight) for each in variants))
        for pool, variants in settings.variants.items()
    }


def trial_rule(settings: RouterSettings) -> TrialRule:
    """When a variant is stopped."""
    of = settings.trials
    return TrialRule(of.false_alarms, of.clump, of.window_seconds, of.attempts_min, of.errors_margin, of.slow_margin)


def _price(pool: TierPoolSettings) -> TierPrice:
    cached = pool.cached_usd_per_million
    return TierPrice(
        from_dollars(pool.input_usd_per_million),
        from_dollars(pool.input_usd_per_million if cached is None else cached),
        from_dollars(pool.output_usd_per_million),
    )
