"""What the workers have sent, as they count it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.gateway.domain.sent import SentAnswer


class SentCounts(Protocol):
    """Asks the workers. A worker keeps its account of an ended request for some minutes."""

    async def ask(self, request_ids: Sequence[str]) -> SentAnswer:
        """What is known of these requests, within about a second. Never raises: see SentAnswer.complete."""
        ...
