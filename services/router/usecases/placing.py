"""Which worker a call goes to. A bound session that this process knows is placed without waiting for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.router.domain.binding import Binding, BindingOutcome, Bound, SessionKey
from services.router.domain.binding_cache import BindingCache, Held
from services.router.domain.catalog import Pool
from services.router.domain.plan import Place, PlanRule, plan_bound, plan_new
from services.router.domain.rendezvous import rank
from services.router.domain.scorers.affinity import bound_worker, placement_key, usable
from services.router.ports import BindingStore, Observer
from services.router.usecases.fleet import Fleet


@dataclass(frozen=True, slots=True)
class PlaceQuery:
    """What is to be placed; the fields are PlaceRequest's."""

    tenant: str
    model: str
    digest: str
    session: str
    affinity_key: str
    excluded: frozenset[str]


class Placement(NamedTuple):
    """The plan, best first; `version` of the session's binding (0 = none stored)."""

    places: list[Place]
    version: int
    uncertain: bool


@dataclass(frozen=True, slots=True)
class PlacingRule:
    """The plan's rule, and after how many seconds a cached binding is compared with the store again."""

    plan: PlanRule
    recheck_seconds: float


class Placing:
    """Places calls. `random` gives floats in [0, 1)."""

    def __init__(
        self,
        fleet: Fleet,
        cache: BindingCache,
        store: BindingStore,
        rule: PlacingRule,
        observer: Observer,
        *,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._cache = cache
        self._store = store
        self._rule = rule
        self._now = clock.monotonic
        self._random = random
        self._rechecks: set[asyncio.Task[None]] = set()
        self._observer = observer

    async def place(self, query: PlaceQuery) -> Placement:
        """Waits for one or two store operations at most, and only for a session that is new here or has to move.

        Raises PlatformError as `Fleet.pool`, and NO_WORKER when all workers are excluded.
        """
        found = self.at_once(query)
        if found is not None:
            return found
        now, key = self._now(), SessionKey(query.tenant, query.session)
        pool = self._fleet.pool(query.model, query.digest)
        held, plan = await self._settle(key, self._cache.get(key, now), pool, query)
        if plan:
            return self._done(plan, held.binding.version, uncertain=not held.binding.stored, now=now)
        return self._place_bound(key, held, self._fleet.pool(query.model, query.digest), query)  # the pool may be new

    def at_once(self, query: PlaceQuery) -> Placement | None:
        """As `place`, where no store is needed: no session, or a bound one that stays. None = it is needed."""
        pool = self._fleet.pool(query.model, query.digest)
        now = self._now()
        if not query.session:
            return self._done(self._new_plan(pool, query), 0, uncertain=False, now=now)
        key = SessionKey(query.tenant, query.session)
        held = self._cache.get(key, now)
        if held is None or bound_worker(held.binding, pool) is None or self._unsaved(held):
            return None
        return self._place_bound(key, held, pool, query)

    def _place_bound(self, key: SessionKey, held: Held, pool: Pool, query: PlaceQuery) -> Placement:
        now = self._now()
        stale = now - held.checked_at > self._rule.recheck_seconds
        if stale and self._store.up:
            self._recheck(key, held, now)
        uncertain = not held.binding.stored or (stale and not self._store.up)
        return self._done(self._session_plan(pool, held, query), held.binding.version, uncertain=uncertain, now=now)

    def _unsaved(self, held: Held) -> bool:
        return not held.binding.stored and self._store.up

    def _session_plan(self, pool: Pool, held: Held, query: PlaceQuery) -> list[Place]:
        worker = bound_worker(held.binding, pool)
        if worker is None or not usable(worker, query.excluded):
            return self._new_plan(pool, query)
        if held.pool is not pool:  # pools are rebuilt with every change
            key = placement_key(query.tenant, query.session, "")
            ranking = rank(key, pool.workers, lambda item: item.name)
            held.plan = plan_bound(worker, ranking, self._rule.plan)
            held.pool = pool
        if not query.excluded:
            return held.plan
        return [place for place in held.plan if place.worker.name not in query.excluded]

    def _new_plan(self, pool: Pool, query: PlaceQuery) -> list[Place]:
        workers = [worker for worker in pool.workers if worker.name not in query.excluded]
        if not workers:
            why = f"Every live worker of {query.model!r} has already failed this request. Retry later."
            raise PlatformError(Reason.NO_WORKER, why, retry_after_seconds=1.0, started=False)
        key = placement_key(query.tenant, query.session, query.affinity_key)
        return plan_new(key, workers, self._cache.sessions, self._rule.plan, self._random)

    def _done(self, places: list[Place], version: int, *, uncertain: bool, now: float) -> Placement:
        first = places[0]
        first.worker.placed(now)
        self._observer.placed(first.reason)
        return Placement(places, version, uncertain)

    async def _settle(
        self, key: SessionKey, held: Held | None, pool: Pool, query: PlaceQuery
    ) -> tuple[Held, list[Place]]:
        """Binds a new session or moves one; the stored binding wins over ours. The plan is empty when it did."""
        known = bound_worker(held.binding, pool) if held else None
        plan = [] if known else self._new_plan(pool, query)
        wanted = known.name if known else plan[0].worker.name
        try:
            binding = await self._bind(key, wanted, held.binding.version if held else 0, pool)
        except PlatformError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            binding = self._without_store(key, held, wanted)
        return self._cache.put(key, binding, self._now()), plan if binding.worker == wanted else []

    async def _bind(self, key: SessionKey, wanted: str, version: int, pool: Pool) -> Binding:
        bound = await self._store.bind(key, wanted, version)
        if bound.binding.worker not in pool.by_name:  # stored, and cannot serve this call
            bound = await self._store.bind(key, wanted, bound.binding.version)
        self._observer.bound(_outcome(bound))
        return bound.binding

    def _without_store(self, key: SessionKey, held: Held | None, wanted: str) -> Binding:
        self._observer.bound(BindingOutcome.UNCERTAIN)
        now_held = self._cache.get(key, self._now())
        if held is None and now_held is not None:  # a call of the same session was faster
            return now_held.binding
        return Binding(wanted, held.binding.version if held else 0, stored=False)

    def _recheck(self, key: SessionKey, held: Held, now: float) -> None:
        before, held.checked_at = held.checked_at, now
        task = asyncio.get_running_loop().create_task(self._compare(key, held, before), name="binding-recheck")
        self._rechecks.add(task)
        task.add_done_callback(self._rechecks.discard)

    async def _compare(self, key: SessionKey, held: Held, checked_at: float) -> None:
        try:
            bound = await self._store.bind(key, held.binding.worker, held.binding.version)
        except PlatformError:
            held.checked_at = checked_at  # still to be compared; meanwhile the cached one serves
            return
        if bound.binding != held.binding:
            self._cache.put(key, bound.binding, self._now())


def _outcome(bound: Bound) -> BindingOutcome:
    if not bound.written:
        return BindingOutcome.STORED
    return BindingOutcome.NEW if bound.binding.version == 1 else BindingOutcome.MOVED
