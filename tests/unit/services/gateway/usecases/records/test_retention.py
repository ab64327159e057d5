"""What is past its tenant's days goes, and nothing else."""

from __future__ import annotations

import asyncio

from libs.errors import PlatformError, Reason
from libs.testing.blobs import MemoryBlobs
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.domain.accounts.records import RecordPolicy, Tenant
from services.gateway.usecases.records.retention import Retention
from tests.unit.services.gateway.usecases.records.world import NOW, Watch

# NOW is 2023-11-14.
DAYS = ["2023-10-14", "2023-10-15", "2023-11-06", "2023-11-07", "2023-11-13", "2023-11-14"]


class Tenants:
    def __init__(self, *tenants):
        self.tenants, self.down = {tenant.id: tenant for tenant in tenants}, False

    async def get(self, kind, tenant, record_id):
        if self.down:
            raise PlatformError(Reason.STORE_UNAVAILABLE, "down", 1.0)
        return self.tenants.get(tenant)


async def filled(*tenants):
    blobs = MemoryBlobs()
    for tenant in tenants:
        for day in DAYS:
            await blobs.put(f"records/{tenant}/{day}/1-gw-1.jsonl", b"{}")
    await blobs.put("files/2001-01-01/a", b"1")
    return blobs


def left(blobs, tenant):
    return [name.split("/")[2] for name in sorted(blobs.stored) if name.startswith(f"records/{tenant}/")]


def test_each_tenant_keeps_its_own_days():
    async def scenario():
        blobs, watch = await filled("week", "month", "unknown"), Watch()
        tenants = Tenants(Tenant(id="week", records=RecordPolicy(retention_days=7)), Tenant(id="month"))
        clock = FakeClock(unix=NOW)
        retention = Retention(blobs, tenants, clock, watch, every_seconds=3600.0)
        await retention.purge()
        await retention.purge()
        return blobs, watch

    blobs, watch = run(scenario())
    assert left(blobs, "week") == DAYS[3:]
    assert left(blobs, "month") == left(blobs, "unknown") == DAYS[1:]
    assert watch.purges == 5
    assert "files/2001-01-01/a" in blobs.stored


def test_it_goes_on_when_a_store_was_away():
    async def scenario():
        blobs, watch, tenants = await filled("month"), Watch(), Tenants(Tenant(id="month"))
        clock = FakeClock(unix=NOW)
        tenants.down = True
        task = asyncio.get_running_loop().create_task(Retention(blobs, tenants, clock, watch, every_seconds=60.0).run())
        await asyncio.sleep(1)
        tenants.down = False
        before = left(blobs, "month")
        await asyncio.sleep(60)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return before, left(blobs, "month"), watch.failures

    assert run(scenario()) == (DAYS, DAYS[1:], ["down"])
