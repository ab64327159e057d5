"""Records of holds and reservations, and how a cost is laid on the parts of a hold. Amounts are nano-dollars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from services.gateway.domain.ledger.scopes import Starts
from services.gateway.domain.ledger.types import Progress, Terms, UsageMeta

HELD = "held"
OPEN = "open"
RELEASED = "released"
NOTHING = Progress()


@dataclass(slots=True)
class Part:
    """An amount that counts in `windows` (per scope), and what it was `charged` in the end.

    One that was drawn from a reservation is held already in the scopes that it `covers`.
    """

    amount: int
    windows: list[Starts]
    reservation: str = ""
    covers: tuple[bool, ...] = ()
    charged: int = 0

    def is_covered(self, at: int) -> bool:
        """Whether a reservation holds it in the scope with this number."""
        return bool(self.reservation) and self.covers[at]


@dataclass(slots=True)
class Hold:
    """A running call, and what became of it. `state` is "held" or an End, `sequence` its last event's number.

    `charged` is its cost, `borne` what it cost beyond that. `granted` are the tokens that it got last, and `given` what
    the bucket of each scope had ever been given by then; None = the scope had no such limit. A call of a `reservation`
    counts in no limit but budgets.
    """

    state: str
    amount: int = 0
    tokens: int = 0
    at_us: int = 0
    lease_us: int = 0
    scopes: tuple[str, ...] = ()
    parts: list[Part] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    meta: UsageMeta | None = None
    sequence: int = 0
    granted: int = 0
    given: list[int | None] = field(default_factory=list)
    charged: int = 0
    borne: int = 0
    ended_us: int = 0
    reservation: str = ""

    def copy(self) -> Hold:
        """One that can be changed without this one."""
        return replace(self, parts=[replace(part, windows=list(part.windows)) for part in self.parts])


@dataclass(slots=True)
class Reservation:
    """An amount set aside: `left` of it is not drawn. `windows` by scope, `terms` of the calls that draw on it."""

    state: str
    amount: int
    left: int
    scopes: tuple[str, ...]
    windows: dict[str, Starts]
    ended_us: int = 0
    terms: Terms = field(default_factory=Terms)


def lay(parts: Sequence[Part], cost: int) -> tuple[list[int], int]:
    """What each part is charged, the first ones first, and what is more than all of them."""
    charges, rest = [], cost
    for part in parts:
        charges.append(min(rest, part.amount))
        rest -= charges[-1]
    return charges, rest


def lay_back(parts: Sequence[Part], less: int) -> list[int]:
    """What each part is charged less, from the last on: no window gets back what it was not charged."""
    charges = []
    for part in reversed(parts):
        charges.append(-min(less, part.charged))
        less += charges[-1]
    return charges[::-1]


def tokens_beyond(progress: Progress, told: Progress) -> Progress:
    """The tokens that `progress` has and `told` has not; its cost is 0."""
    return Progress(
        0,
        progress.prompt_tokens - told.prompt_tokens,
        progress.cached_tokens - told.cached_tokens,
        progress.completion_tokens - told.completion_tokens,
        progress.reasoning_tokens - told.reasoning_tokens,
    )
