"""Where answers that are made under an idempotency key are kept, while they are made and after."""

from __future__ import annotations

from typing import Protocol

from services.gateway.domain.idempotency import Claim, Claimed, Kept, Keyed, Page, Slot, State


class Answers(Protocol):
    """A log per answer, with one owner at a time. Every call is atomic and may be repeated.

    Raises PlatformError(STORE_UNAVAILABLE).
    """

    async def claim(self, keyed: Keyed, claim: Claim) -> Claimed:
        """Makes the caller the owner when nobody is, when the last answer broke, or when its owner's lease is over."""
        ...

    async def append(self, slot: Slot, owner: str, generation: int, number: int, entry: bytes) -> Kept:
        """Adds entry `number` (from 0) and renews the lease; an empty entry only renews. Tells of ABANDONED, too.

        A later generation than the log's begins it anew. LARGE: the log is dropped and nothing more is kept.
        """
        ...

    async def finish(self, slot: Slot, owner: str, state: State) -> Kept:
        """The answer is DONE or BROKEN; all of its entries are in the log."""
        ...

    async def release(self, slot: Slot, owner: str) -> None:
        """Forgets the answer, as if its key had never been used; nothing if it has another owner."""
        ...

    async def read(self, slot: Slot, after: int, generation: int) -> Page:
        """Entries from number `after` on, as many as are good for one exchange; none if the generation is another."""
        ...


class Abandoned(Protocol):
    """Answers that nobody wants any more."""

    async def abandon(self, slot: Slot) -> None:
        """Makes the answer ABANDONED for whoever makes or asks for it, also one that is not begun yet; one that is
        whole is left as it is. May be repeated. Raises PlatformError(STORE_UNAVAILABLE).
        """
        ...
