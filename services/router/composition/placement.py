"""Settings of placement in, what places out."""

from __future__ import annotations

from collections.abc import Callable

from services.router.domain.caches import Caches, CachesRule
from services.router.domain.expected import ExpectedRule
from services.router.domain.placement import Placement, PlacementRule
from services.router.settings import PlacementSettings


def caches_of(settings: PlacementSettings) -> Caches:
    """What the workers hold, as far as they will tell."""
    expected = ExpectedRule(settings.expected_seconds, settings.expected_blocks_max)
    return Caches(CachesRule(expected, settings.resync_seconds))


def placement_of(settings: PlacementSettings, caches: Caches, random: Callable[[], float]) -> Placement:
    """What weighs workers for a prompt."""
    rule = PlacementRule(
        load_factor=settings.load_factor,
        places_max=settings.places_max,
        running_tokens=settings.running_tokens,
        balance_share=settings.balance_share,
        pressure_start=settings.pressure_start,
        tree_share=settings.tree_share,
    )
    return Placement(caches, rule, random)
