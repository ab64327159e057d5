"""The index of request records: the same checks on the twin that the use cases' tests run on, and on a real store."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.records.index import ValkeyRecordIndex
from services.gateway.ports.records import Batch, Entry, Place
from tests.unit.services.gateway.usecases.records.world import MemoryIndex

DAY = 86_400
NAME = "records/acme/2099-01-01/{}-gw-000001.jsonl"


@asynccontextmanager
async def fake():
    index = MemoryIndex(SystemClock())

    def kill():
        index.down = True

    yield index, kill


@asynccontextmanager
async def real():
    with ValkeyProcess() as store:
        valkey = Valkey(store.settings())
        await valkey.ready()
        try:
            yield ValkeyRecordIndex(valkey, SystemClock()), store.kill
        finally:
            await valkey.close()


def batch(number, *entries, tenant="acme"):
    """A blob that is `number` milliseconds late; entries are (request id, key, user)."""
    name = NAME.format(f"{4070908800000 + number:013d}").replace("acme", tenant)
    found = [Entry(request, key, user, Place(name, place, 7)) for place, (request, key, user) in enumerate(entries)]
    return Batch(tenant, name, found)


@pytest.mark.parametrize("make", [fake, real])
def test_a_record_is_found_by_its_tenant_alone_and_a_repeat_changes_nothing(make):
    async def scenario():
        async with make() as (index, _):
            one = batch(1, ("r1", "k1", "u1"), ("r2", "k1", ""))
            await index.add(one, DAY)
            await index.add(one, DAY)
            found = [await index.find("acme", name) for name in ("r1", "r2", "r3")]
            assert found == [Place(one.blob, 0, 7), Place(one.blob, 1, 7), None]
            assert await index.find("other", "r1") is None
            assert list(await index.blobs("acme", first="records/acme/", end="records/acme/3", limit=9)) == [one.blob]

    run_real(scenario())


@pytest.mark.parametrize("make", [fake, real])
def test_blobs_are_listed_by_key_and_user_in_order_between_two_names(make):
    async def scenario():
        async with make() as (index, _):
            blobs = [batch(n, (f"r{n}", f"k{n % 2}", "ada" if n % 3 else "")) for n in (3, 1, 2, 0)]
            for one in blobs:
                await index.add(one, DAY)
            await index.add(batch(9, ("x", "k1", "ada"), tenant="other"), DAY)
            names = sorted(one.blob for one in blobs)
            bounds = {"first": "records/acme/", "end": "records/acme/3"}
            assert list(await index.blobs("acme", **bounds, limit=9)) == names
            assert list(await index.blobs("acme", **bounds, limit=2)) == names[:2]
            assert list(await index.blobs("acme", key="k1", **bounds, limit=9)) == [names[1], names[3]]
            assert list(await index.blobs("acme", user="ada", **bounds, limit=9)) == [names[1], names[2]]
            assert list(await index.blobs("acme", first=names[0], end=names[3], limit=9)) == names[1:3]
            newest = await index.blobs("acme", first=names[0], end="records/acme/3", limit=2, newest_first=True)
            assert list(newest) == [names[3], names[2]]
            assert list(await index.blobs("acme", key="none", **bounds, limit=9)) == []

    run_real(scenario())


@pytest.mark.parametrize("make", [fake, real])
def test_a_dead_store_says_so(make):
    async def scenario():
        async with make() as (index, kill):
            await index.add(batch(1, ("r1", "k1", "")), DAY)
            kill()
            for call in (
                lambda: index.add(batch(2, ("r2", "k1", "")), DAY),
                lambda: index.find("acme", "r1"),
                lambda: index.blobs("acme", first="", end="x", limit=1),
            ):
                with pytest.raises(PlatformError) as caught:
                    await call()
                assert caught.value.reason is Reason.STORE_UNAVAILABLE

    run_real(scenario())


def test_what_is_kept_goes_by_itself_and_lists_do_not_grow_for_ever():
    async def scenario():
        async with real() as (index, _):
            old = Batch("acme", "records/acme/2001-01-01/0978307200000-gw-000001.jsonl", [])
            await index.add(old, 2 * DAY)
            # The one that is added drops what is past its days, itself included when it is that old.
            assert list(await index.blobs("acme", first="", end="records/acme/3", limit=9)) == []
            await index.add(batch(1, ("r1", "k1", "u1")), 2 * DAY)
            valkey = index._valkey
            keys = sorted(await valkey.command("KEYS", "*"))
            assert [key.decode().split(":")[3] for key in keys] == ["all", "k", "r", "u"]
            assert all(key.startswith(b"hr:records:{acme}:") for key in keys)
            for key in keys:
                assert 2 * DAY < await valkey.command("TTL", key) <= 3 * DAY

    run_real(scenario())


def test_many_entries_are_added_in_parts():
    async def scenario():
        async with real() as (index, _):
            entries = [(f"r{n}", f"k{n % 7}", f"u{n % 3}") for n in range(1234)]
            await index.add(batch(1, *entries), DAY)
            assert [(await index.find("acme", f"r{n}")).offset for n in (0, 99, 100, 1233)] == [0, 99, 100, 1233]

    run_real(scenario())
