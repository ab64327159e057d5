"""Deletes records past their days. Every gateway does it; a repeat finds nothing."""

from __future__ import annotations

from libs.blobs import Blobs
from libs.clock import Clock
from libs.errors import PlatformError
from services.gateway.domain.accounts.records import Kind, RecordPolicy, Tenant
from services.gateway.domain.request_batch import ROOT, first_day_kept, folder
from services.gateway.ports import AccountStore
from services.gateway.ports.records import RecordWatch


class Retention:
    """Goes through all tenants' folders every `every_seconds`. What the index keeps expires by itself.

    A tenant that is not known keeps the days of the default policy: a store that came up empty must not be the end of
    all records.
    """

    def __init__(
        self, blobs: Blobs, store: AccountStore, clock: Clock, watch: RecordWatch, *, every_seconds: float
    ) -> None:
        self._blobs, self._store, self._clock, self._watch = blobs, store, clock, watch
        self._every_seconds = every_seconds

    async def run(self) -> None:
        """For ever; run it as a task."""
        while True:
            try:
                await self.purge()
            except PlatformError as error:
                self._watch.failed(error.message)
            await self._clock.sleep(self._every_seconds)

    async def purge(self) -> None:
        """Once. Raises STORE_UNAVAILABLE."""
        for prefix in await self._blobs.folders(ROOT):
            tenant = prefix.removeprefix(ROOT).rstrip("/")
            found = await self._store.get(Kind.TENANT, tenant, tenant)
            policy = found.records if isinstance(found, Tenant) else RecordPolicy()
            await self._purge(folder(tenant), first_day_kept(self._clock.unix(), policy.retention_days))

    async def _purge(self, prefix: str, first_day: str) -> None:
        for day in await self._blobs.folders(prefix):
            if day.removeprefix(prefix).rstrip("/") < first_day:
                self._watch.purged(await self._blobs.delete_prefix(day))
