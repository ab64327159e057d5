"""All prices in memory, for the hot path."""

from __future__ import annotations

from collections.abc import Iterable

from libs.errors import PlatformError, Reason
from services.gateway.domain.accounts.records import PLATFORM, Kind, Price
from services.gateway.ports.accounts import AccountStore

PAGE = 1000


class StoredPrices:
    """See ports.PriceBook. A Follower: read again with every change of an account. `seeds` come from the settings."""

    def __init__(self, store: AccountStore, seeds: Iterable[Price]) -> None:
        self._store = store
        self._seeds = {price.model: price for price in seeds}
        self._prices = self._seeds
        self._loaded = False

    def find(self, *names: str) -> Price | None:
        """See ports.PriceBook."""
        if not self._loaded:
            message = "Prices were not read yet, because the store (Valkey) does not answer. Try again in a second."
            raise PlatformError(Reason.STORE_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        for name in names:
            found = self._prices.get(name)
            if found is not None:
                return found
        return None

    async def changed(self) -> None:
        """See Follower."""
        stored: dict[str, Price] = {}
        after = ""
        while page := await self._store.list(Kind.PRICE, PLATFORM, after=after, limit=PAGE):
            prices = [record for record in page if isinstance(record, Price)]
            stored |= {price.model: price for price in prices}
            after = prices[-1].model
        self._prices = self._seeds | stored
        self._loaded = True

    def outdated(self) -> None:
        """See Follower. Prices stay: the ledger refuses every call while the store is away."""
