"""Settings and ports in, the service out."""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from libs.clock import Clock
from libs.rpc.api import Channel
from libs.telemetry.metrics import Registry as MetricRegistry
from services.router.adapters.workers import FollowRule, WorkerFollower, sweep_forever
from services.router.api import RouterApi
from services.router.composition.choice import ChoicePorts, compose_choice
from services.router.composition.placement import caches_of, learning_of, placement_of
from services.router.domain.binding_cache import BindingCache
from services.router.domain.plan import PlanRule
from services.router.domain.registry import Registry
from services.router.metrics import RouterMetrics
from services.router.ports import BindingStore
from services.router.settings import RouterSettings
from services.router.usecases.capacity import CapacityWatch
from services.router.usecases.fleet import Fleet
from services.router.usecases.outcomes import OutcomeBoard
from services.router.usecases.placing import Placing, PlacingRule
from services.router.usecases.variants import VariantDesk


@dataclass(frozen=True)
class Ports:
    """What life and tests give differently. `random` gives floats in [0, 1)."""

    store: BindingStore
    dial: Callable[[str], Channel]
    clock: Clock
    metrics: MetricRegistry
    choice: ChoicePorts
    random: Callable[[], float] = random.random


@dataclass(frozen=True)
class Router:
    """The service without its port. `loops` keep it informed; they run until they are cancelled."""

    api: RouterApi
    fleet: Fleet
    placing: Placing
    variants: VariantDesk
    outcomes: OutcomeBoard
    loops: dict[str, Callable[[], Coroutine[Any, Any, None]]]


def compose(settings: RouterSettings, ports: Ports) -> Router:
    """The service over its ports."""
    silence_seconds = settings.liveness.silence_ms / 1000
    place = settings.placement
    caches = caches_of(place)
    fleet = Fleet(Registry(settings.workers, silence_seconds, caches), ports.clock)
    cache = BindingCache(settings.bindings.cache_size_max, settings.bindings.cache_idle_seconds)
    metrics = RouterMetrics(ports.metrics)
    metrics.watch(fleet, cache, ports.store)
    metrics.watch_caches(caches)
    rule = PlacingRule(PlanRule(place.load_factor, place.places_max), settings.bindings.recheck_seconds)
    placement = placement_of(place, caches, ports.random)
    placing = Placing(fleet, cache, ports.store, placement, rule, metrics, clock=ports.clock, random=ports.random)
    follow = FollowRule(settings.liveness.redial_seconds, settings.liveness.reconnect_ms_max / 1000)
    followers = {
        f"follow {address}": WorkerFollower(
            address, ports.dial, fleet, follow, clock=ports.clock, random=ports.random
        ).run
        for address in settings.workers
    }

    learning = learning_of(settings, fleet)

    async def sweep() -> None:
        # An eighth of the limit: a frozen worker is out at 1.125 times of it.
        await sweep_forever(fleet, cache, learning, silence_seconds / 8, ports.clock)

    choice = compose_choice(settings, fleet, ports.choice, ports.metrics, clock=ports.clock, random=ports.random)
    loops = {**followers, "sweep": sweep}
    if choice.desk.splits:
        loops["variants"] = choice.desk.follow
    outcomes = OutcomeBoard(lambda name: bool(fleet.lives(name)), metrics)
    outcomes.listen(choice.desk.take)
    outcomes.listen(learning.took)
    api = RouterApi(fleet, placing, choice.api, outcomes, CapacityWatch(fleet, ports.clock))
    return Router(api, fleet, placing, choice.desk, outcomes, loops)
