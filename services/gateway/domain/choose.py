"""What the router is asked when a call's model is its to choose, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from services.gateway.domain.route import Choice, Decision
from services.gateway.domain.turn_facts import TurnFacts

# The router chooses among tiers for these; any other name is a model or pool of the catalog.
AUTO_NAMES = frozenset({"auto", "auto:cheap", "auto:best"})
TIERS = ("small", "large", "frontier")


@dataclass(slots=True)
class ChooseQuery:
    """`model` is one of AUTO_NAMES, or a pool that is split between variants.

    `session` keeps a tier and a variant; `affinity_key` only a variant. `min_tier` is one of TIERS, "" = any.
    `models_allowed` empty = all.
    """

    request_id: str
    tenant: str
    model: str
    turn: TurnFacts
    session: str = ""
    affinity_key: str = ""
    min_tier: str = ""
    models_allowed: tuple[str, ...] = ()


@dataclass(slots=True)
class Choices:
    """Models, best first; those behind the first are where to fall back to."""

    choices: tuple[Choice, ...]
    decision: Decision | None = None
