"""Three tiers with prices like those of public ones, and turns over them."""

from __future__ import annotations

from services.router.domain.policy.session import NOTHING, SessionRoute
from services.router.domain.policy.stay import StayRule, Step
from services.router.domain.policy.wish import ChoiceReason, Wish
from services.router.domain.tiers import Tier, TierPool, TierPrice, Tiers

# Nano-dollars per million tokens: 0.10 / 0.01 / 0.40, five times that, and 3 / 0.30 / 15 dollars.
SMALL = TierPrice(100_000_000, 10_000_000, 400_000_000)
LARGE = TierPrice(500_000_000, 50_000_000, 2_000_000_000)
FRONTIER = TierPrice(3_000_000_000, 300_000_000, 15_000_000_000)
TIERS = Tiers(
    {
        Tier.SMALL: [TierPool("s1", SMALL), TierPool("s2", SMALL)],
        Tier.LARGE: [TierPool("l1", LARGE)],
        Tier.FRONTIER: [TierPool("f1", FRONTIER)],
    }
)
RULE = StayRule(cooldown_turns=2, turns_ahead_max=8, output_tokens=300, stall_repeats=3, stall_errors=3)


def step(mark=1, *, turns=1, depth=0, repeats=0, errors=0, context=1000):
    return Step(mark, turns, depth, errors, repeats, context)


def wants(tier, reason=ChoiceReason.CLASSIFIED):
    return Wish(Tier(tier), reason, "because")


def unsure(tier="large"):
    return wants(tier, ChoiceReason.UNSURE)


def on(tier, **fields):
    return SessionRoute(tier=Tier(tier), **fields)


__all__ = ["FRONTIER", "LARGE", "NOTHING", "RULE", "SMALL", "TIERS", "on", "step", "unsure", "wants"]
