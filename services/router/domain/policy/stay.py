"""Stay or move: fast up, slow down, and only when the user speaks.

A tool loop keeps its tier: its steps build on each other and on one cache. The exception is an agent that makes no
progress: it is lifted one tier at once and comes back when the user speaks next. A move down waits until several user
turns in a row wanted it, and until it pays: the target reads the whole context anew, at its uncached price, while
staying reads it from the cache.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from libs.money import to_dollars
from services.router.domain.policy.session import NOTHING, SessionRoute
from services.router.domain.policy.wish import ChoiceReason, Wish
from services.router.domain.tiers import RANK, Tier, Tiers

# The window of tool results in which repeats are counted: a lift is given so long to help before the next one.
STALL_WINDOW = 6


@dataclass(frozen=True, slots=True)
class StayRule:
    """When a session goes down, and when an agent counts as stalled.

    `cooldown_turns` in a row must want less. The session is reckoned to go on for as many user turns as it has had, at
    most `turns_ahead_max`, with answers of `output_tokens`. An agent stalls at `stall_repeats` equal calls or errors,
    or `stall_errors` failed ones, among its last six tool results.
    """

    cooldown_turns: int
    turns_ahead_max: int
    output_tokens: int
    stall_repeats: int
    stall_errors: int


@dataclass(frozen=True, slots=True)
class Step:
    """What policy looks at: numbers of the turn as on the wire, `mark` tells one user turn from another."""

    mark: int
    user_turns: int
    tool_depth: int
    tool_errors: int
    repeats: int
    context_tokens: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The tier, why, and what the session is to remember. `switch_cost` in nano-dollars, 0 = none was weighed."""

    tier: Tier
    reason: ChoiceReason
    why: str
    route: SessionRoute
    previous: Tier | None = None
    switch_cost: int = 0


def needs_wish(route: SessionRoute, step: Step) -> bool:
    """Whether the turn's own wish counts: inside a tool loop of a session that has a tier it does not."""
    return route.tier is None or step.tool_depth == 0


def settle(route: SessionRoute, wish: Wish | None, step: Step, tiers: Tiers, rule: StayRule) -> Settled:
    """The tier of a turn; `wish` may be None where `needs_wish` says so."""
    if route.tier is None:
        if wish is None:
            raise ValueError("a turn without a tier needs a wish")
        return _first(route, wish, step, tiers, rule)
    now = tiers.nearest(route.tier)
    if step.tool_depth or wish is None:
        return _in_loop(route, now, step, tiers, rule)
    return _user_turn(route, now, wish, step, tiers, rule)


def stalled(step: Step, rule: StayRule) -> bool:
    """Whether the agent makes no progress. When the user speaks, what was before no longer counts."""
    return step.tool_depth > 0 and (step.repeats >= rule.stall_repeats or step.tool_errors >= rule.stall_errors)


def _first(route: SessionRoute, wish: Wish, step: Step, tiers: Tiers, rule: StayRule) -> Settled:
    fresh = replace(NOTHING, tier=wish.tier, turn=step.mark, variants=route.variants)
    higher = tiers.above(wish.tier) if stalled(step, rule) else None
    if higher is None:
        return Settled(wish.tier, wish.reason, wish.why, fresh)
    return _lift(fresh, wish.tier, higher, step, tiers)


def _in_loop(route: SessionRoute, now: Tier, step: Step, tiers: Tiers, rule: StayRule) -> Settled:
    seen = route if route.turn == step.mark else replace(route, turn=step.mark)
    if not stalled(step, rule):
        return _stay(seen, now, "inside a tool loop the tier stays")
    if route.home is not None and step.tool_depth < route.lifted_at + STALL_WINDOW:
        return _stay(seen, now, f"the agent stalled and was moved up from {route.home}")
    higher = tiers.above(now)
    if higher is None:
        return _stay(seen, now, "the agent stalls, and there is no higher tier")
    return _lift(seen, now, higher, step, tiers)


def _lift(route: SessionRoute, now: Tier, higher: Tier, step: Step, tiers: Tiers) -> Settled:
    lifted = replace(route, tier=higher, home=route.home or now, lifted_at=step.tool_depth)
    seen = f"{step.repeats} repeats, {step.tool_errors} errors among its last six tool results"
    why = f"the agent stalls ({seen}): up from {now}"
    cost = tiers.price(higher).reread(step.context_tokens)
    return Settled(higher, ChoiceReason.STALLED, why, lifted, previous=now, switch_cost=cost)


def _user_turn(route: SessionRoute, now: Tier, wish: Wish, step: Step, tiers: Tiers, rule: StayRule) -> Settled:
    """`now` is where it is, `base` where it belongs: they differ after a lift."""
    base = tiers.nearest(route.home) if route.home is not None else now
    if route.turn == step.mark and RANK[wish.tier] <= RANK[now]:
        return _stay(route, now, f"stays on {now}: the same user turn again")
    calm = replace(route, tier=base, turn=step.mark, home=None, lifted_at=0)
    if wish.reason is ChoiceReason.UNSURE:
        # Nothing spoke: no reason to move a session that has a tier, nor a wish for less.
        return _arrive(calm, now, base, ChoiceReason.STICKY, wish.why.split(":", maxsplit=1)[0], step, tiers)
    if RANK[wish.tier] > RANK[base]:
        raised = replace(calm, tier=wish.tier, lower_turns=0)
        return _arrive(raised, now, wish.tier, wish.reason, wish.why, step, tiers)
    if wish.tier == base:
        return _arrive(replace(calm, lower_turns=0), now, base, ChoiceReason.STICKY, wish.why, step, tiers)
    lower = replace(calm, lower_turns=route.lower_turns + 1)
    if base != now:  # back from a lift: one move at a time
        return _arrive(lower, now, base, ChoiceReason.STICKY, wish.why, step, tiers)
    return _down(lower, now, wish, step, tiers, rule)


def _down(route: SessionRoute, now: Tier, wish: Wish, step: Step, tiers: Tiers, rule: StayRule) -> Settled:
    if route.lower_turns < rule.cooldown_turns:
        why = f"stays on {now}: {route.lower_turns} of {rule.cooldown_turns} user turns in a row wanted {wish.tier}"
        return _stay(route, now, why)
    ahead = max(1, min(step.user_turns, rule.turns_ahead_max))
    here, there = tiers.price(now), tiers.price(wish.tier)
    context, output = step.context_tokens, rule.output_tokens
    reread = there.reread(context)
    # The first turn there reads the context uncached, the others find it.
    move = reread - there.turn(context, 0) + ahead * there.turn(context, output)
    stay = ahead * here.turn(context, output)
    read = f"${to_dollars(reread)} of it to re-read {context} tokens"
    sums = f"${to_dollars(move)} for {ahead} turns on {wish.tier}, {read}"
    if move >= stay:
        return _stay(route, now, f"stays on {now}: {sums}, against ${to_dollars(stay)} here", reread)
    moved = replace(route, tier=wish.tier, lower_turns=0)
    why = f"{wish.why}; down from {now}: {sums}, against ${to_dollars(stay)} there"
    return Settled(wish.tier, wish.reason, why, moved, previous=now, switch_cost=reread)


def _arrive(
    route: SessionRoute, now: Tier, tier: Tier, reason: ChoiceReason, why: str, step: Step, tiers: Tiers
) -> Settled:
    """At `tier` from `now`; when they differ, the price of reading the context there is told."""
    if tier == now:
        return Settled(tier, reason, why if reason is not ChoiceReason.STICKY else f"stays on {now}: {why}", route, now)
    cost = tiers.price(tier).reread(step.context_tokens)
    told = f"back from a lift to {now}; {why}" if RANK[tier] < RANK[now] else f"{why}; up from {now}"
    return Settled(tier, reason, told, route, now, cost)


def _stay(route: SessionRoute, now: Tier, why: str, switch_cost: int = 0) -> Settled:
    return Settled(now, ChoiceReason.STICKY, why, route, now, switch_cost)
