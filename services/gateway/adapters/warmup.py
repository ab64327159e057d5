"""Tokenizers are loaded when their model appears, not when its first call comes: loading takes a second."""

from __future__ import annotations

from libs.clock import Clock
from libs.errors import PlatformError
from services.gateway.adapters.catalog import WatchedCatalog
from services.gateway.adapters.tokenizers import ENCODERS_MAX, FETCH_SECONDS_MAX, FetchedEncoders
from services.gateway.domain.models import ModelInfo

RETRY_SECONDS = 1.0


class Warmth:
    """Keeps the tokenizers of the catalog's models in memory; the gateway is not ready before the first of them."""

    def __init__(self, catalog: WatchedCatalog, encoders: FetchedEncoders, clock: Clock) -> None:
        self._catalog, self._encoders, self._clock = catalog, encoders, clock

    def loaded(self, info: ModelInfo) -> bool:
        """True when a call of that model would not have to wait for its tokenizer."""
        return not info.capabilities.tokens_in or self._encoders.cached(info) is not None

    async def keep(self) -> None:
        """Follows the catalog for ever; run it as a task. A fetch that fails is tried again every second."""
        while True:
            await self._catalog.changed()
            while not await self._load():  # looks at the catalog anew: a change meanwhile is not missed
                await self._clock.sleep(RETRY_SECONDS)

    async def _load(self) -> bool:
        """Whether all is there that there is room for."""
        wanted = {m.tokenizer_digest: m for m in self._catalog.models() if m.addresses and m.capabilities.tokens_in}
        whole = True
        for info in list(wanted.values())[:ENCODERS_MAX]:
            if not self.loaded(info):
                try:
                    await self._encoders.fetch(info, timeout=FETCH_SECONDS_MAX)
                except PlatformError:
                    whole = False
        return whole
