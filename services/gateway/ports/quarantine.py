"""Where gateways remember together which requests workers died of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.gateway.domain.quarantine import Suspect


class SuspectStore(Protocol):
    """Bounded, and everything in it ends by itself. Raises PlatformError(STORE_UNAVAILABLE); repeats do no harm."""

    async def blame(self, fingerprint: str, characters: int, life: str) -> Suspect:
        """A worker died under that request; `life` names the worker's life, which counts once. Renews its time."""
        ...

    async def acquit(self, fingerprint: str) -> None:
        """That request was answered: it is not what workers died of."""
        ...

    async def suspects(self) -> Sequence[Suspect] | None:
        """All of them; None = nothing has changed since the last look through this object."""
        ...
