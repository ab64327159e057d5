"""Metrics of choices and variants. Labels are names of the settings, tiers and reasons."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

from libs.telemetry import get_logger
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.router.domain.session_routes import RouteCache
from services.router.domain.variants.split import Split

_log = get_logger("router")


class ChoiceLabels(NamedTuple):
    """Tier and reason of the first model; the tier is empty for a named pool."""

    tier: str
    reason: str


class MoveLabels(NamedTuple):
    """From tier to tier, and why."""

    previous: str
    tier: str
    reason: str


class VariantLabels(NamedTuple):
    """A variant of the settings."""

    pool: str
    variant: str


class ChoiceMetrics:
    """Declares the instruments; counts as a `ChoiceObserver` and a `VariantObserver`."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        # The share of "large" and "frontier" is what the tiers cost; "unsure" is what the classifier does not cover.
        self._choices = registry.counter("headrace_router_choices_total", "Choices, by first model.", ChoiceLabels)
        # Many ups and downs: the cooldown is too short, or thresholds lie where most turns are.
        self._moves = registry.counter("headrace_router_tier_moves_total", "Sessions that changed tier.", MoveLabels)
        self._attempts = registry.counter(
            "headrace_router_variant_attempts_total", "Attempts that gateways reported.", VariantLabels
        )
        self._failures = registry.counter(
            "headrace_router_variant_failures_total", "Failed ones among them.", VariantLabels
        )
        # A person should look at each.
        self._stops = registry.counter(
            "headrace_router_variant_stops_total", "Variants that this replica stopped.", VariantLabels
        )

    def chose(self, tier: str, reason: str) -> None:
        """See ChoiceObserver."""
        self._choices.inc(ChoiceLabels(tier, reason))

    def moved(self, tier: str, previous: str, reason: str) -> None:
        """See ChoiceObserver."""
        self._moves.inc(MoveLabels(previous, tier, reason))

    def tried(self, pool: str, variant: str, attempts: int, failures: int) -> None:
        """See VariantObserver."""
        labels = VariantLabels(pool, variant)
        self._attempts.inc(labels, attempts)
        self._failures.inc(labels, failures)

    def stopped(self, pool: str, variant: str, why: str) -> None:
        """See VariantObserver."""
        self._stops.inc(VariantLabels(pool, variant))
        _log.warning("variant stopped", pool=pool, variant=variant, why=why)

    def watch(self, cache: RouteCache, splits: Mapping[str, Split]) -> None:
        """Gauges that are read at each scrape."""
        self._registry.gauge(
            "headrace_router_routes_cached", "Sessions whose tier is known without the store.", NoLabels
        ).read_from(NO_LABELS, lambda: len(cache))
        weights = self._registry.gauge("headrace_router_variant_weight", "Weight in use.", VariantLabels)
        for pool, split in splits.items():
            for each in split.variants:
                weights.read_from(VariantLabels(pool, each.name), partial(_weight, splits, pool, each.name))


def _weight(splits: Mapping[str, Split], pool: str, name: str) -> float:
    found = splits[pool].find(name)
    return found.weight if found else 0
