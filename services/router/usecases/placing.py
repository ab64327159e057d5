"""Which worker a call goes to. A bound session that this process knows is placed without waiting for anything."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from libs.block_hash import Hashes
from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rendezvous import rank
from services.router.domain.binding import Binding, BindingOutcome, Bound, SessionKey
from services.router.domain.binding_cache import BindingCache, Held
from services.router.domain.catalog import Pool
from services.router.domain.placement import Placement
from services.router.domain.plan import Place, PlanRule, plan_bound, plan_new
from services.router.domain.scorers.affinity import bound_worker, placement_key, usable
from services.router.domain.scorers.question import NO_BLOCKS, Wanted
from services.router.domain.worker import Worker
from services.router.ports import BindingStore, Observer
from services.router.usecases.fleet import Fleet


class PlaceQuery(NamedTuple):
    """What is to be placed; the fields are PlaceRequest's. `blocks` are empty when the gateway does not know them."""

    tenant: str
    model: str
    digest: str
    session: str
    affinity_key: str
    excluded: frozenset[str]
    tokens: int = 0
    blocks: Hashes = NO_BLOCKS
    root_session: str = ""


class Placed(NamedTuple):
    """The plan, best first; `version` of the session's binding (0 = none stored).

    `predicted`: the places' `cached_tokens` mean something.
    """

    places: list[Place]
    version: int
    uncertain: bool
    predicted: bool = False


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
        placement: Placement,
        rule: PlacingRule,
        observer: Observer,
        *,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._fleet = fleet
        self._cache = cache
        self._store = store
        self._placement = placement
        self._rule = rule
        self._now = clock.monotonic
        self._random = random
        self._rechecks: set[asyncio.Task[None]] = set()
        self._observer = observer

    async def place(self, query: PlaceQuery) -> Placed:
        """Waits for one or two store operations at most, and only for a session that is new here or has to move.

        Raises PlatformError as `Fleet.pool`, and NO_WORKER when all workers are excluded.
        """
        found = self.at_once(query)
        if found is not None:
            return found
        key = SessionKey(query.tenant, query.session)
        pool = self._fleet.pool(query.model, query.digest)
        held, plan = await self._settle(key, self._cache.get(key, self._now()), pool, query)
        before, pool = pool, self._fleet.pool(query.model, query.digest)
        if not plan or pool is not before:  # who was to have it may be lost by now
            return self._place_bound(key, held, pool, query)
        uncertain = not held.binding.stored
        return self._done(plan, held.binding.version, pool, query, uncertain=uncertain, now=self._now())

    def at_once(self, query: PlaceQuery) -> Placed | None:
        """As `place`, where no store is needed: no session, or a bound one that stays. None = it is needed."""
        pool = self._fleet.pool(query.model, query.digest)
        now = self._now()
        if not query.session:
            return self._done(self._new_plan(pool, query, now), 0, pool, query, uncertain=False, now=now)
        key = SessionKey(query.tenant, query.session)
        held = self._cache.get(key, now)
        if held is None or bound_worker(held.binding, pool) is None or self._unsaved(held):
            return None
        return self._place_bound(key, held, pool, query)

    @property
    def unnoted(self) -> bool:
        """Whether `note` has work to do."""
        return self._placement.caches.unnoted

    def note(self) -> None:
        """Works out what the last plans change for the next one, which does it itself when it comes first."""
        self._placement.caches.note()

    def _place_bound(self, key: SessionKey, held: Held, pool: Pool, query: PlaceQuery) -> Placed:
        now = self._now()
        stale = now - held.checked_at > self._rule.recheck_seconds
        if stale and self._store.up:
            self._recheck(key, held)
        uncertain = not held.binding.stored or (stale and not self._store.up)
        plan = self._session_plan(pool, held, query, now)
        return self._done(plan, held.binding.version, pool, query, uncertain=uncertain, now=now)

    def _unsaved(self, held: Held) -> bool:
        return not held.binding.stored and self._store.up

    def _session_plan(self, pool: Pool, held: Held, query: PlaceQuery, now: float) -> list[Place]:
        worker = bound_worker(held.binding, pool)
        if worker is None or not usable(worker, query.excluded):
            return self._new_plan(pool, query, now)
        if held.pool is not pool:  # pools are rebuilt with every change
            key = placement_key(query.tenant, query.session, "")
            ranking = rank(key, pool.workers, lambda item: item.name)
            held.plan = plan_bound(worker, ranking, self._rule.plan)
            held.pool = pool
        plan = held.plan
        if query.excluded:
            plan = [place for place in plan if place.worker.name not in query.excluded]
        if not len(query.blocks):
            return plan
        runs, cached = self._placement.look(_wanted(query, now), [place.worker for place in plan])
        return [
            Place(place.worker, place.reason, tokens, held=run)
            for place, tokens, run in zip(plan, cached, runs, strict=True)
        ]

    def _new_plan(self, pool: Pool, query: PlaceQuery, now: float, *, by_hash: bool = False) -> list[Place]:
        """By score. By hash, when nothing is known of the prompt, and when replicas must agree without the store."""
        workers: Sequence[Worker] = pool.workers
        if query.excluded:
            workers = [worker for worker in workers if worker.name not in query.excluded]
        if not workers:
            why = f"Every live worker of {query.model!r} has already failed this request. Retry later."
            raise PlatformError(Reason.NO_WORKER, why, retry_after_seconds=1.0, started=False)
        key = placement_key(query.tenant, query.session, query.affinity_key)
        root = self._root(query, pool, now)
        by_hash = by_hash or not self._store.up
        if (len(query.blocks) or root) and not (by_hash and query.session):
            return self._placement.choose(_wanted(query, now, key, root), workers)
        return plan_new(key, workers, self._cache.sessions, self._rule.plan, self._random)

    def _root(self, query: PlaceQuery, pool: Pool, now: float) -> str:
        """The worker of the session that this one's agent was started by, as far as this replica knows."""
        if not query.root_session or query.root_session == query.session:
            return ""
        held = self._cache.get(SessionKey(query.tenant, query.root_session), now)
        return held.binding.worker if held is not None and held.binding.worker in pool.by_name else ""

    def _done(
        self, places: list[Place], version: int, pool: Pool, query: PlaceQuery, *, uncertain: bool, now: float
    ) -> Placed:
        first = places[0]
        blocks = query.blocks
        if len(blocks):
            self._placement.placed(_wanted(query, now), first)
        else:
            first.worker.placed(now, query.tokens)
        self._observer.placed(first.reason)
        return Placed(places, version, uncertain, pool.predicted and len(blocks) > 0)

    async def _settle(
        self, key: SessionKey, held: Held | None, pool: Pool, query: PlaceQuery
    ) -> tuple[Held, list[Place]]:
        """Binds a new session or moves one; the stored binding wins over ours. The plan is empty when it did."""
        known = bound_worker(held.binding, pool) if held else None
        plan = [] if known else self._new_plan(pool, query, self._now())
        worker = known or plan[0].worker
        wanted = worker.name
        # What comes while the store is asked sees this prompt on its way: equal ones go together.
        expected = self._placement.caches.expected
        try:
            with expected.promised(worker.number, query.blocks, self._now()):
                binding = await self._bind(key, wanted, held.binding.version if held else 0, pool)
        except PlatformError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            # Plans by score are this replica's own view; without the store, replicas agree by hash.
            if plan and (len(query.blocks) or query.root_session):
                plan = self._new_plan(pool, query, self._now(), by_hash=True)
                wanted = plan[0].worker.name
            binding = self._without_store(key, held, wanted)
        return self._hold(key, binding), plan if binding.worker == wanted else []

    def _hold(self, key: SessionKey, binding: Binding) -> Held:
        held = self._cache.put(key, binding, self._now())
        held.checked_at = self._checked_at()
        return held

    def _checked_at(self) -> float:
        """When a binding of this moment counts as compared: sessions that came together are compared apart."""
        return self._now() - self._random() * self._rule.recheck_seconds / 4

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

    def _recheck(self, key: SessionKey, held: Held) -> None:
        before, held.checked_at = held.checked_at, self._checked_at()
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
            self._hold(key, bound.binding)


def _wanted(query: PlaceQuery, now: float, key: str = "", root: str = "") -> Wanted:
    return Wanted(query.tokens, now, query.blocks, key, root)


def _outcome(bound: Bound) -> BindingOutcome:
    if not bound.written:
        return BindingOutcome.STORED
    return BindingOutcome.NEW if bound.binding.version == 1 else BindingOutcome.MOVED
