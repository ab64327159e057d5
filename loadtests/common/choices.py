"""A router's choice over stores as fast as memory, for what is measured without them."""

from __future__ import annotations

from collections.abc import Sequence

from services.router.composition.choice import ChoicePorts
from services.router.domain.binding import SessionKey
from services.router.domain.classifier import Classifier, Judgement, TurnFacts
from services.router.domain.policy.session import SessionRoute
from services.router.domain.session_routes import StoredRoute
from services.router.domain.variants.split import Split
from services.router.ports import Judge

# Scores of MemoryJudge: one easy turn, one hard one.
EASY, HARD = Judgement(0.9, unsure=False, score=0.1), Judgement(0.2, unsure=False, score=0.8)


class MemoryRoutes:
    """SessionRoutes; the last one to save wins, which calls one after the other never notice."""

    up = True

    def __init__(self) -> None:
        self._stored: dict[SessionKey, StoredRoute] = {}

    async def save(self, key: SessionKey, route: SessionRoute, version: int) -> StoredRoute:
        """See SessionRoutes."""
        saved = self._stored[key] = StoredRoute(route, version + 1)
        return saved


class MemoryVariants:
    """VariantStore of an installation without splits."""

    async def load(self, pools: Sequence[str]) -> dict[str, Split]:
        """See VariantStore."""
        raise NotImplementedError(pools)

    async def save(self, split: Split, version: int) -> Split:
        """See VariantStore."""
        raise NotImplementedError(split, version)


class MemoryJudge:
    """A Judge that costs nothing: short texts are easy."""

    def judge(self, facts: TurnFacts) -> Judgement:
        """See Judge."""
        return EASY if len(facts.text) < 100 else HARD


def choice_ports(*, judging: bool = False) -> ChoicePorts:
    """Ports of a choice; `judging` takes the real classifier."""
    judge: Judge = Classifier.load(None) if judging else MemoryJudge()
    return ChoicePorts(judge, MemoryRoutes(), MemoryVariants())
