"""Settings of placement in, what places out."""

from __future__ import annotations

from collections.abc import Callable

from services.router.domain.caches import Caches, CachesRule
from services.router.domain.drift import Drift, DriftRule
from services.router.domain.ejection import Ejection, EjectionRule
from services.router.domain.expected import ExpectedRule
from services.router.domain.placement import Placement, PlacementRule
from services.router.settings import EjectionSettings, PlacementSettings, RouterSettings
from services.router.usecases.fleet import Fleet
from services.router.usecases.learning import Learning


def caches_of(settings: PlacementSettings) -> Caches:
    """What the workers hold, as far as they will tell."""
    expected = ExpectedRule(settings.expected_seconds, settings.expected_blocks_max)
    return Caches(CachesRule(expected, settings.resync_seconds))


def placement_of(settings: PlacementSettings, caches: Caches, random: Callable[[], float]) -> Placement:
    """What weighs workers for a prompt."""
    rule = PlacementRule(
        load_factor=settings.load_factor,
        places_max=settings.places_max,
        queue_share=settings.queue_share,
        running_tokens=settings.running_tokens,
        balance_share=settings.balance_share,
        pressure_start=settings.pressure_start,
        tree_share=settings.tree_share,
    )
    return Placement(caches, rule, random)


def learning_of(settings: RouterSettings, fleet: Fleet) -> Learning:
    """What learns from reports."""
    drift = Drift(DriftRule(error_max=settings.placement.drift_error_max))
    return Learning(fleet, drift, _ejection_of(settings.ejection) if settings.ejection.enabled else None)


def _ejection_of(settings: EjectionSettings) -> Ejection:
    return Ejection(
        EjectionRule(
            interval_seconds=settings.interval_seconds,
            attempts_min=settings.attempts_min,
            failure_share=settings.failure_share,
            ttft_factor=settings.ttft_factor,
            ttft_ms_min=settings.ttft_ms_min,
            base_seconds=settings.base_seconds,
            seconds_max=settings.seconds_max,
        )
    )
