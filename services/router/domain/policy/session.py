"""What a session's earlier turns have decided."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

from services.router.domain.tiers import Tier


@dataclass(frozen=True, slots=True)
class SessionRoute:
    """Tier and variants of a session.

    `tier` None: it has only variants. `turn` marks the user turn that was decided last, `lower_turns` how many in a row
    wanted less. `home` is where a stalled agent comes back to, None = it is not lifted; `lifted_at` the tool depth of
    the last lift. `variants` are (pool, variant) pairs.
    """

    tier: Tier | None = None
    turn: int = 0
    lower_turns: int = 0
    home: Tier | None = None
    lifted_at: int = 0
    variants: tuple[tuple[str, str], ...] = field(default=())

    def variant(self, pool: str) -> str:
        """The variant it has of `pool`; empty = none yet."""
        return next((name for of, name in self.variants if of == pool), "")

    def with_variant(self, pool: str, name: str) -> Self:
        """The same with `name` for `pool`."""
        if self.variant(pool) == name:
            return self
        others = [pair for pair in self.variants if pair[0] != pool]
        return replace(self, variants=tuple(sorted([*others, (pool, name)])))


NOTHING = SessionRoute()
