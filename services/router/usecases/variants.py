"""Variants at run time: weights that all replicas share, how each variant does, and who is stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.router.domain.outcomes import Outcomes
from services.router.domain.variants.split import Split, Variant
from services.router.domain.variants.tally import Tally
from services.router.domain.variants.trial import Trial, TrialRule
from services.router.ports import VariantObserver, VariantStore

# Weights are compared with the store about once a second: a change is everywhere within two.
POLL_SECONDS = 1.0
# First tokens of the last minutes: halved this often, so what is older than ten minutes hardly counts.
FADE_SECONDS = 150.0
SAVES_MAX = 3
WEIGHT_MAX = 1_000_000


class Told(NamedTuple):
    """What operators see of one variant; `recent` holds the first tokens of the last minutes."""

    variant: Variant
    attempts: int
    failures: int
    recent: Tally


@dataclass(slots=True)
class _Seen:
    """Of one variant, by this replica: since its start, since the last look, and lately."""

    total: Tally = field(default_factory=Tally)
    fresh: Tally = field(default_factory=Tally)
    recent: Tally = field(default_factory=Tally)
    trial: Trial | None = None


class VariantDesk:
    """`splits` is what the choice reads; it is changed in place. `random` gives floats in [0, 1)."""

    def __init__(
        self,
        base: Mapping[str, Split],
        store: VariantStore,
        rule: TrialRule,
        observer: VariantObserver,
        *,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self.splits = dict(base)
        self._store = store
        self._rule = rule
        self._observer = observer
        self._clock = clock
        self._random = random
        self._listeners: set[Callable[[], None]] = set()
        # Goes up with every change that this replica adopts.
        self.generation = 0
        self._faded_at = clock.monotonic()
        self._seen = {(pool, each.name): _Seen() for pool, split in base.items() for each in split.variants}

    def take(self, told: Outcomes) -> None:
        """Counts a gateway's report where it speaks of a variant."""
        pool = self._pool_of(told)
        if pool is None:
            return
        tally, seen = Tally.of(told), self._seen[pool, told.variant]
        for each in (seen.total, seen.fresh, seen.recent):
            each.add(tally)
        self._observer.tried(pool, told.variant, int(tally.attempts), int(tally.failures))

    async def follow(self) -> None:
        """Adopts what the store has and stops who does badly, until it is cancelled."""
        while True:
            await self._clock.sleep(POLL_SECONDS * (0.75 + self._random() / 2))
            await self.look()

    async def look(self) -> None:
        """One look at the store and at the trials. A store that is away changes nothing; trials go on."""
        before = dict(self.splits)
        try:
            for pool, stored in (await self._store.load(list(before))).items():
                # What was changed here while the answer was under way is newer than it.
                if self.splits[pool] is before[pool]:
                    self._adopt(pool, stored)
        except PlatformError:
            pass
        self._fade()
        for pool, split in list(self.splits.items()):
            for name, why in self._worse(split):
                await self._stop(pool, name, why)

    @contextmanager
    def listening(self, listener: Callable[[], None]) -> Iterator[None]:
        """Calls `listener` after every adopted change, until the block ends. It must not raise."""
        self._listeners.add(listener)
        try:
            yield
        finally:
            self._listeners.discard(listener)

    async def set_weights(self, pool: str, weights: Mapping[str, int]) -> Split:
        """Changes weights for all replicas; those left out keep theirs.

        Raises PlatformError: NOT_FOUND (no such split), INVALID_REQUEST, CONFLICT (others keep changing them),
        STORE_UNAVAILABLE (nothing is changed, or it is not known).
        """
        split = self.splits.get(pool)
        if split is None:
            known = ", ".join(self.splits) or "none; set `variants` in the router's settings"
            why = f"The pool {pool[:80]!r} has no variants. Pools that have: {known}."
            raise PlatformError(Reason.NOT_FOUND, why, started=False, param="pool")
        _refuse_bad(split, weights)
        changed = await self._change(pool, lambda now: _weighted(now, weights))
        if changed is None:
            why = f"The weights of {pool!r} are being changed by somebody else. Look at them, then try again."
            raise PlatformError(Reason.CONFLICT, why, retry_after_seconds=1.0, started=False)
        return changed

    def told(self, pool: str) -> list[Told]:
        """How each variant of a pool does, as far as gateways report to this replica."""
        seen = [(each, self._seen[pool, each.name]) for each in self.splits[pool].variants]
        return [Told(each, int(one.total.attempts), int(one.total.failures), one.recent) for each, one in seen]

    def _pool_of(self, told: Outcomes) -> str | None:
        """A name is a variant of the pool it was asked by, or that its model stands for."""
        for pool, split in self.splits.items():
            found = split.find(told.variant) if told.variant else None
            if found is not None and told.model in (pool, found.model):
                return pool
        return None

    def _adopt(self, pool: str, stored: Split) -> None:
        """What the store has wins, also where it has lost its newest changes; the trial of a variant that was set going
        again begins anew.
        """
        before = self.splits[pool]
        if stored == before:
            return
        for each in stored.variants:
            old = before.find(each.name)
            if old is not None and old.stopped and not each.stopped:
                self._seen[pool, each.name].trial = None
        self.splits[pool] = stored
        if stored.variants != before.variants:
            self.generation += 1
            for listener in list(self._listeners):
                listener()

    def _fade(self) -> None:
        now = self._clock.monotonic()
        if now - self._faded_at < FADE_SECONDS:
            return
        self._faded_at = now
        for seen in self._seen.values():
            seen.recent.fade(0.5)

    def _worse(self, split: Split) -> list[tuple[str, str]]:
        """Variants to be stopped, with why; never the first of the settings, which others are held against."""
        fresh = {each.name: self._seen[split.pool, each.name].fresh for each in split.variants}
        found: list[tuple[str, str]] = []
        for each in split.variants:
            self._seen[split.pool, each.name].fresh = Tally()
        for each in split.variants[1:]:
            rest = Tally()
            for name, tally in fresh.items():
                if name != each.name:
                    rest.add(tally)
            why = self._trial(split.pool, each).see(fresh[each.name], rest, self._clock.monotonic())
            if why and not each.stopped:
                found.append((each.name, why))
        return found

    def _trial(self, pool: str, variant: Variant) -> Trial:
        seen = self._seen[pool, variant.name]
        if seen.trial is None:
            seen.trial = Trial(self._rule, self._clock.monotonic())
        return seen.trial

    async def _stop(self, pool: str, name: str, why: str) -> None:
        """Sets the weight to 0 for all replicas; tried again at the next look while the store is away."""
        mine = False

        def stop(split: Split) -> Split:
            nonlocal mine
            now = split.find(name)
            others = any(each.weight for each in split.variants if each.name != name)
            mine = now is not None and not now.stopped and others
            return split.with_stop(name, why) if mine else split

        try:
            changed = await self._change(pool, stop)
        except PlatformError:
            return
        if changed is not None and mine:
            self._observer.stopped(pool, name, why)

    async def _change(self, pool: str, change: Callable[[Split], Split]) -> Split | None:
        """Compare-and-set over the stored split; None when others were faster each time."""
        for _ in range(SAVES_MAX):
            stored = (await self._store.load([pool]))[pool]
            wanted = change(stored)
            if wanted == stored:
                self._adopt(pool, stored)
                return stored
            saved = await self._store.save(wanted, stored.version)
            if saved.variants == wanted.variants:
                self._adopt(pool, saved)
                return saved
        return None


def _refuse_bad(split: Split, weights: Mapping[str, int]) -> None:
    names = ", ".join(each.name for each in split.variants)
    if unknown := sorted(set(weights) - {each.name for each in split.variants}):
        why = f"{split.pool!r} has no variant {unknown[0][:80]!r}; it has {names}."
        raise PlatformError(Reason.INVALID_REQUEST, why, started=False, param="weights")
    if not weights:
        why = f"No weight was given. Name variants of {split.pool!r} with their weights; it has {names}."
        raise PlatformError(Reason.INVALID_REQUEST, why, started=False, param="weights")
    if any(not 0 <= weight <= WEIGHT_MAX for weight in weights.values()):
        why = f"A weight is a whole number from 0 to {WEIGHT_MAX}."
        raise PlatformError(Reason.INVALID_REQUEST, why, started=False, param="weights")


def _weighted(split: Split, weights: Mapping[str, int]) -> Split:
    changed = split.with_weights(weights)
    if not any(each.weight for each in changed.variants):
        why = f"That would leave no variant of {split.pool!r} with a weight: new sessions could go nowhere."
        raise PlatformError(Reason.INVALID_REQUEST, why, started=False, param="weights")
    return changed
