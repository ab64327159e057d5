"""Tokenizers are loaded when their model appears, not when its first call comes: loading takes a second."""

from __future__ import annotations

from contextlib import suppress

from libs.errors import PlatformError
from services.gateway.adapters.catalog import WatchedCatalog
from services.gateway.adapters.tokenizers import ENCODERS_MAX, FETCH_SECONDS_MAX, FetchedEncoders


async def keep_warm(catalog: WatchedCatalog, encoders: FetchedEncoders) -> None:
    """Follows the catalog for ever; run it as a task. What fails is tried again by the call that needs it."""
    while True:
        await catalog.changed()
        wanted = {m.tokenizer_digest: m for m in catalog.models() if m.capabilities.tokens_in and m.addresses}
        for info in list(wanted.values())[:ENCODERS_MAX]:
            if encoders.cached(info) is None:
                with suppress(PlatformError):
                    await encoders.fetch(info, timeout=FETCH_SECONDS_MAX)
