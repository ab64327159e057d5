"""Which model a turn goes to. A session that is known here and stays where it is waits for nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple
from zlib import crc32

from libs.errors import PlatformError, Reason
from services.router.domain.binding import SessionKey
from services.router.domain.classifier.facts import Judgement, TurnFacts
from services.router.domain.policy.session import NOTHING, SessionRoute
from services.router.domain.policy.stay import Settled, StayRule, Step, needs_wish, settle
from services.router.domain.policy.wish import MODES, ChoiceReason, Thresholds, Wish, wish
from services.router.domain.scorers.affinity import placement_key
from services.router.domain.session_routes import RouteCache, StoredRoute
from services.router.domain.tiers import RANK, Tier, Tiers
from services.router.ports import ChoiceObserver, Judge, SessionRoutes
from services.router.usecases.fleet import Fleet
from services.router.usecases.picking import Pick, Picking

# English and code; the gateway knows no better before it has chosen a tokenizer.
CHARACTERS_PER_TOKEN = 4
# Calls of one session that decide at the same moment: beyond this the stored route is taken as it is.
SAVES_MAX = 3
_UNKNOWN = StoredRoute(NOTHING, 0, saved=False)
_NO_SESSION = StoredRoute(NOTHING, 0)


@dataclass(slots=True)
class ChooseQuery:
    """What is to be chosen; the fields are ChooseRequest's."""

    tenant: str
    model: str
    session: str = ""
    affinity_key: str = ""
    facts: TurnFacts = field(default_factory=TurnFacts)
    min_tier: str = ""
    models_allowed: tuple[str, ...] = ()


@dataclass(slots=True)
class Decision:
    """Why a turn got its tier; `judgement` None = the turn was not judged."""

    tier: Tier
    why: str
    judgement: Judgement | None
    previous: Tier | None
    switch_cost: int


class Chosen(NamedTuple):
    """Models, best first; no decision for a pool that was named."""

    picks: list[Pick]
    decision: Decision | None


@dataclass(frozen=True, slots=True)
class ChoosingRule:
    """What an installation has set."""

    tiers: Tiers
    thresholds: Thresholds
    stay: StayRule
    unsure_tier: Tier


class _Turn:
    """A query with what is worked out once: its step, and its judgement when somebody asks."""

    __slots__ = ("_judge", "_judgement", "query", "step")

    def __init__(self, query: ChooseQuery, judge: Judge) -> None:
        self.query, self.step = query, step_of(query.facts)
        self._judge = judge
        self._judgement: Judgement | None = None

    def judgement(self) -> Judgement:
        if self._judgement is None:
            self._judgement = self._judge.judge(self.query.facts)
        return self._judgement


class _Draft(NamedTuple):
    """What would be answered over a given route, and the route after it."""

    settled: Settled
    judgement: Judgement | None
    picks: list[Pick]
    route: SessionRoute


class Choosing:
    """Chooses models."""

    def __init__(
        self,
        fleet: Fleet,
        rule: ChoosingRule,
        judge: Judge,
        cache: RouteCache,
        store: SessionRoutes,
        picking: Picking,
        observer: ChoiceObserver,
    ) -> None:
        self._fleet = fleet
        self._rule = rule
        self._judge = judge
        self._cache = cache
        self._store = store
        self._picking = picking
        self._observer = observer

    async def choose(self, query: ChooseQuery) -> Chosen:
        """Waits for the store when a session is new here, moves, or its user has spoken; once, if nobody interferes.

        Raises PlatformError: MODEL_NOT_FOUND, NO_WORKER (a named model), INVALID_REQUEST (min_tier),
        MODEL_NOT_ALLOWED; all before any work. A store that is down is no error.
        """
        found = self.at_once(query)
        if found is not None:
            return found
        if not self._routes(query.model):
            return await self._choose_variant(query)
        turn, key = _Turn(query, self._judge), SessionKey(query.tenant, query.session)
        began = self._cache.get(key)
        held = began or _UNKNOWN
        draft = self._draft(turn, held.route)
        for _ in range(SAVES_MAX):
            if draft.route == held.route and held.saved:
                break
            held = await self._save(key, draft.route, held)
            if held.route == draft.route:
                break
            draft = self._draft(turn, held.route)
        self._keep(key, began, held)
        return self._done(draft, uncertain=not held.saved)

    def at_once(self, query: ChooseQuery) -> Chosen | None:
        """As `choose`, where no store is needed. None = it is needed."""
        if not self._routes(query.model):
            return self._named_at_once(query)
        turn = _Turn(query, self._judge)
        if not query.session:
            return self._done(self._draft(turn, NOTHING), uncertain=False)
        held = self._cache.get(SessionKey(query.tenant, query.session))
        # What the user says is told to the store, so that all replicas count the same turns: it is judged there, once.
        if held is None or self._unsaved(held) or held.route.turn != turn.step.mark:
            return None
        draft = self._draft(turn, held.route)
        return self._done(draft, uncertain=not held.saved) if draft.route == held.route else None

    def _routes(self, model: str) -> bool:
        return model in MODES and bool(self._rule.tiers)

    def _unsaved(self, held: StoredRoute) -> bool:
        return not held.saved and self._store.up

    def _keep(self, key: SessionKey, began: StoredRoute | None, held: StoredRoute) -> None:
        """Remembers what the store has, also where it has lost versions, unless a call of the session was faster."""
        known = self._cache.get(key)
        if known is None or known is began or known.version <= held.version:
            self._cache.put(key, held)

    async def _save(self, key: SessionKey, route: SessionRoute, held: StoredRoute) -> StoredRoute:
        try:
            return await self._store.save(key, route, held.version)
        except PlatformError as error:
            if error.reason is not Reason.STORE_UNAVAILABLE:
                raise
            return StoredRoute(route, held.version, saved=False)

    def _draft(self, turn: _Turn, route: SessionRoute) -> _Draft:
        """Pure: the same route and turn give the same draft."""
        rule, query = self._rule, turn.query
        floor = self._floor(query.min_tier)
        wanted, judgement = None, None
        if needs_wish(route, turn.step):
            judgement = turn.judgement()
            wanted = self._wish(judgement, query.model)
        settled = settle(route, wanted, turn.step, rule.tiers, rule.stay)
        if floor is not None and RANK[settled.tier] < RANK[floor]:
            settled = self._raised(settled, floor)
        plan = self._picking.of_tier(
            settled.tier,
            settled.reason,
            settled.route,
            _key(query),
            floor=floor,
            models_allowed=query.models_allowed,
        )
        return _Draft(settled, judgement, plan.picks, plan.route)

    def _wish(self, judgement: Judgement, mode: str) -> Wish:
        score = None if judgement.unsure else judgement.score
        return wish(score, mode, self._rule.tiers, self._rule.thresholds, self._rule.unsure_tier)

    def _floor(self, name: str) -> Tier | None:
        """The lowest configured tier that the caller takes. The session's own tier is not touched by it."""
        if not name:
            return None
        if name not in RANK:
            raise _invalid(f"min_tier is {name[:40]!r}; it can be {', '.join(RANK)}.")
        floor = self._rule.tiers.nearest(name)
        if RANK[floor] < RANK[name]:
            has = ", ".join(self._rule.tiers.names)
            raise _invalid(f"No tier at or above {name!r} is configured here; there is {has}. Ask for one of them.")
        return floor

    def _raised(self, settled: Settled, floor: Tier) -> Settled:
        why = f"{settled.why}; the request takes nothing below {floor}"
        return replace(settled, tier=floor, reason=ChoiceReason.FLOOR, why=why)

    def _done(self, draft: _Draft, *, uncertain: bool) -> Chosen:
        settled, first = draft.settled, draft.picks[0]
        self._observer.chose(first.tier, first.reason)
        if settled.previous is not None and settled.previous != settled.route.tier:
            self._observer.moved(settled.route.tier or "", settled.previous, settled.reason)
        why = settled.why
        if first.tier != settled.tier:
            named = any(pick.tier == settled.tier for pick in draft.picks)
            lacks = f"no live worker of {settled.tier}" if named else f"the key may use nothing of {settled.tier}"
            why += f"; {lacks}: {first.tier} answers"
        if uncertain:
            why += "; the store is down: decided by this router alone"
        decision = Decision(settled.tier, why, draft.judgement, settled.previous, settled.switch_cost)
        return Chosen(draft.picks, decision)

    def _named_at_once(self, query: ChooseQuery) -> Chosen | None:
        pool = query.model
        if pool not in self._picking.splits:
            return self._named(pool)
        held = self._cache.get(SessionKey(query.tenant, query.session)) if query.session else _NO_SESSION
        if held is None or self._unsaved(held):
            return None
        plan = self._picking.of_pool(pool, held.route, _key(query))
        if query.session and plan.route != held.route:
            return None
        return self._split(plan.picks)

    async def _choose_variant(self, query: ChooseQuery) -> Chosen:
        """The variant that the session has in the store; a new one, or one in place of a stopped one, is stored."""
        pool, key = query.model, SessionKey(query.tenant, query.session)
        began = self._cache.get(key)
        held = began or _UNKNOWN
        plan = self._picking.of_pool(pool, held.route, _key(query))
        for _ in range(SAVES_MAX):
            if plan.route == held.route and held.saved:
                break
            held = await self._save(key, plan.route, held)
            if held.route == plan.route:
                break
            plan = self._picking.of_pool(pool, held.route, _key(query))
        self._keep(key, began, held)
        return self._split(plan.picks)

    def _split(self, picks: list[Pick]) -> Chosen:
        self._observer.chose("", picks[0].reason)
        return Chosen(picks, None)

    def _named(self, model: str) -> Chosen:
        """A named model is obeyed."""
        if model in MODES and model not in self._fleet.catalog.entries:
            known = ", ".join(self._fleet.catalog.entries) or "none yet"
            why = (
                f"Routing by {model!r} is not configured on this installation: the router's setting `tiers` names no "
                f"pools. Set it (services/router/settings.py), or name a model or a pool; known: {known}."
            )
            raise PlatformError(Reason.MODEL_NOT_FOUND, why, started=False, param="model")
        self._fleet.pool(model, "")
        self._observer.chose("", ChoiceReason.ASKED)
        return Chosen([Pick(model, ChoiceReason.ASKED, pool=model)], None)


def _key(query: ChooseQuery) -> str:
    """What decides on a variant where none is stored. Without session and key, all of a tenant go together."""
    return placement_key(query.tenant, query.session, query.affinity_key) or query.tenant


def step_of(facts: TurnFacts) -> Step:
    """What policy looks at. The mark tells this user turn from the one before, also where clients send no history."""
    return Step(
        mark=crc32(facts.text.encode("utf-8", "replace"), facts.user_turns),
        user_turns=facts.user_turns,
        tool_depth=facts.tool_depth,
        tool_errors=facts.tool_errors,
        repeats=facts.repeats,
        context_tokens=facts.context_characters // CHARACTERS_PER_TOKEN,
    )


def _invalid(message: str) -> PlatformError:
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param="min_tier")
