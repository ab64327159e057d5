"""Answers that may stand in for one that nobody can make."""

from __future__ import annotations

from typing import Protocol


class CachedAnswers(Protocol):
    """Answers by a digest of their request, per tenant, for an hour at most. Raises STORE_UNAVAILABLE."""

    async def find(self, tenant: str, digest: str) -> bytes | None:
        """The answer kept for that request."""
        ...

    async def keep(self, tenant: str, digest: str, answer: bytes) -> None:
        """Keeps it in place of an earlier one; the tenant's oldest make room. A repeat does no harm."""
        ...
