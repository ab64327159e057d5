"""The store in memory and the one in Valkey, on a cluster too, keep the same promises."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.testing.valkey_cluster import ValkeyCluster
from libs.valkey import Valkey
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.domain.accounts.records import PLATFORM, Budget, Key, Kind, Limits, Price, Tenant, User
from tests.contract.services.gateway.adapters.account_records import (
    conflict,
    drop,
    fresh,
    put,
    tenant_with_key,
)


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


@pytest.fixture(scope="module")
def cluster():
    with ValkeyCluster() as process:
        yield process


@asynccontextmanager
async def valkey_store(server):
    valkey = Valkey(server.settings(op_timeout_ms=2000))
    try:
        yield ValkeyAccounts(valkey)
    finally:
        await valkey.close()


@asynccontextmanager
async def memory_store(server):
    yield MemoryAccounts()


@pytest.fixture(params=["memory", "server", "cluster"])
def with_store(request):
    server = None if request.param == "memory" else request.getfixturevalue(request.param)
    opened = memory_store if server is None else valkey_store

    def go(scenario):
        async def main():
            async with opened(server) as store:
                await scenario(store)

        run_real(main())

    return go


def test_what_was_stored_is_found_again_whole(with_store):
    async def scenario(store):
        budget = Budget(
            limit_nanodollars=5_000_000_000, duration="30d", soft_nanodollars=1, anchor_at=1_699_999_999.125
        )
        limits = Limits(requests_per_minute=3, budgets=(budget,), models=("small", "qwen2:7b"))
        tenant = await put(store, Tenant(id=fresh(), name="Acmé", limits=limits, metadata={"team": "ü"}, priority=-3))
        user = await put(store, User(tenant=tenant.id, id="ada@x.org", limits=limits))
        key = await put(store, Key(tenant=tenant.id, id=fresh("key"), hmac=fresh(), user="ada@x.org", expires_at=1.5))
        assert await store.get(Kind.TENANT, tenant.id, tenant.id) == tenant
        assert await store.get(Kind.USER, tenant.id, user.id) == user
        assert await store.get(Kind.KEY, tenant.id, key.id) == key
        assert await store.find_key(key.hmac) == key
        assert await store.tenant_of(key.id) == tenant.id

    with_store(scenario)


def test_what_is_not_there_is_not_found(with_store):
    async def scenario(store):
        for kind in Kind:
            assert await store.get(kind, fresh(), fresh()) is None
            assert await store.list(kind, fresh(), after="zzzz") == []
        assert await store.find_key(fresh()) is None
        assert await store.tenant_of(fresh()) == ""
        assert await store.read(fresh()) == []

    with_store(scenario)


def test_a_change_counts_only_on_what_it_saw(with_store):
    async def scenario(store):
        first = await put(store, Tenant(id=fresh()))
        second = msgspec.structs.replace(first, name="second")
        async with conflict("exists already"):
            await put(store, second)
        await put(store, second, before=first)
        async with conflict("Read it again"):
            await put(store, msgspec.structs.replace(first, name="third"), before=first)
        async with conflict():
            await drop(store, first)
        assert await store.get(Kind.TENANT, first.id, first.id) == second

    with_store(scenario)


def test_of_many_at_once_one_wins(with_store):
    async def scenario(store):
        before = await put(store, Tenant(id=fresh()))
        afters = [msgspec.structs.replace(before, name=f"n{n}") for n in range(20)]
        outcomes = await asyncio.gather(*(put(store, after, before) for after in afters), return_exceptions=True)
        won = [outcome for outcome in outcomes if isinstance(outcome, Tenant)]
        assert len(won) == 1
        assert all(o.reason is Reason.CONFLICT for o in outcomes if isinstance(o, PlatformError))
        assert await store.get(Kind.TENANT, before.id, before.id) == won[0]
        assert len(await store.read(before.id)) == 2

    with_store(scenario)


def test_the_key_is_found_by_its_present_and_its_previous_hmac_and_by_no_older(with_store):
    async def scenario(store):
        _, first = await tenant_with_key(store)
        second = msgspec.structs.replace(first, hmac=fresh(), previous_hmac=first.hmac, previous_until=9.0)
        await put(store, second, first)
        assert await store.find_key(first.hmac) == second
        assert await store.find_key(second.hmac) == second
        third = msgspec.structs.replace(second, hmac=fresh(), previous_hmac=second.hmac)
        await put(store, third, second)
        assert [await store.find_key(hmac) for hmac in (first.hmac, second.hmac, third.hmac)] == [None, third, third]

    with_store(scenario)


def test_a_deleted_key_is_gone_and_its_id_is_never_used_again(with_store):
    async def scenario(store):
        _, key = await tenant_with_key(store)
        await drop(store, key)
        assert await store.find_key(key.hmac) is None
        assert await store.get(Kind.KEY, key.tenant, key.id) is None
        assert await store.tenant_of(key.id) == ""
        async with conflict("never used again"):
            await put(store, key)
        assert await store.find_key(key.hmac) is None

    with_store(scenario)


def test_nothing_hangs_on_what_does_not_exist(with_store):
    async def scenario(store):
        tenant = fresh()
        async with conflict("Make the tenant first"):
            await put(store, User(tenant=tenant, id="ada"))
        async with conflict("Make the tenant first"):
            await put(store, Key(tenant=tenant, id="key_1", hmac=fresh()))
        await put(store, Tenant(id=tenant))
        async with conflict("Make the user first"):
            await put(store, Key(tenant=tenant, id="key_1", hmac=fresh(), user="ada"))
        assert await store.list(Kind.KEY, tenant) == []

    with_store(scenario)


def test_what_others_hang_on_cannot_be_deleted(with_store):
    async def scenario(store):
        name, key = await tenant_with_key(store, user="ada")
        tenant, user = await store.get(Kind.TENANT, name, name), await store.get(Kind.USER, name, "ada")
        for owner in (tenant, user):
            async with conflict("Delete those first"):
                await drop(store, owner)
        await drop(store, key)
        async with conflict("Delete those first"):
            await drop(store, tenant)
        await drop(store, user)
        await drop(store, tenant)
        assert await store.get(Kind.TENANT, name, name) is None
        await put(store, tenant)

    with_store(scenario)


def test_lists_are_sorted_and_paged_and_know_their_tenant(with_store):
    async def scenario(store):
        one, other = fresh(), fresh()
        for tenant in (one, other):
            await put(store, Tenant(id=tenant))
        for user in ("b", "a", "B", "c.1", "c"):
            await put(store, User(tenant=one, id=user))
        await put(store, User(tenant=other, id="x"))
        assert [user.id for user in await store.list(Kind.USER, one)] == ["B", "a", "b", "c", "c.1"]
        assert [user.id for user in await store.list(Kind.USER, one, limit=2)] == ["B", "a"]
        assert [user.id for user in await store.list(Kind.USER, one, after="a", limit=2)] == ["b", "c"]
        assert [user.id for user in await store.list(Kind.USER, one, after="c.1")] == []
        assert [tenant.id for tenant in await store.list(Kind.TENANT, "", after=min(one, other)[:-1])][:1]

    with_store(scenario)


def test_tenants_are_listed_without_the_deleted_ones(with_store):
    async def scenario(store):
        prefix = fresh("list")
        tenants = [await put(store, Tenant(id=f"{prefix}-{n}")) for n in range(5)]
        for gone in (tenants[0], tenants[2]):
            await drop(store, gone)
        found = await store.list(Kind.TENANT, "", after=prefix, limit=2)
        assert [tenant.id for tenant in found] == [f"{prefix}-1", f"{prefix}-3"]
        assert (await store.list(Kind.TENANT, "", after=found[-1].id, limit=1))[0].id == f"{prefix}-4"

    with_store(scenario)


def test_prices_belong_to_the_platform(with_store):
    async def scenario(store):
        model = f"org/{fresh()}:7b {{x}}"
        price = Price(model=model, input_nanodollars=1, cached_nanodollars=2, output_nanodollars=2**53 - 1)
        await put(store, price)
        assert await store.get(Kind.PRICE, PLATFORM, model) == price
        assert price in await store.list(Kind.PRICE, PLATFORM, limit=1000)
        dearer = await put(store, msgspec.structs.replace(price, input_nanodollars=9), price)
        assert (await store.read(PLATFORM, limit=1))[0].after == msgspec.to_builtins(dearer)
        await drop(store, dearer)
        assert await store.get(Kind.PRICE, PLATFORM, model) is None

    with_store(scenario)


def test_every_change_is_audited_newest_first_without_hmacs(with_store):
    async def scenario(store):
        name, key = await tenant_with_key(store)
        await put(store, msgspec.structs.replace(key, name="n", previous_hmac="old-hmac"), key)
        entries = await store.read(name)
        assert [(e.kind, e.record, e.actor) for e in entries] == [
            ("key", key.id, "key_admin"), ("key", key.id, "key_admin"), ("tenant", name, "key_admin"),
        ]  # fmt: skip
        assert (entries[0].before["name"], entries[0].after["name"], entries[1].before) == ("", "n", None)
        assert "hmac" not in str(entries)
        assert (await store.read(name, limit=1))[0] == entries[0]
        assert list(await store.read(name, after=entries[0].id, limit=5)) == list(entries[1:])

    with_store(scenario)


def test_a_change_that_did_not_happen_leaves_no_trace(with_store):
    async def scenario(store):
        name, key = await tenant_with_key(store)
        audited = await store.read(name)
        async with conflict():
            await put(store, msgspec.structs.replace(key, hmac="stolen-hmac"), msgspec.structs.replace(key, name="x"))
        async with conflict():
            await put(store, Key(tenant=name, id=key.id, hmac="other-hmac"))
        assert await store.read(name) == audited
        assert [await store.find_key(hmac) for hmac in ("stolen-hmac", "other-hmac", key.hmac)] == [None, None, key]

    with_store(scenario)


def test_the_version_grows_with_every_change(with_store):
    async def scenario(store):
        seen = [await store.version()]
        _, key = await tenant_with_key(store)
        seen.append(await store.version())
        await drop(store, key)
        seen.append(await store.version())
        assert seen == sorted(set(seen))
        assert await store.version() == seen[-1]

    with_store(scenario)


@pytest.mark.parametrize("after", ["x", "1", "+", "1-1\n", "(1-1"])
def test_a_cursor_that_is_no_id_is_refused(with_store, after):
    async def scenario(store):
        with pytest.raises(PlatformError) as caught:
            await store.read("acme", after=after)
        assert caught.value.reason is Reason.INVALID_REQUEST

    with_store(scenario)


@pytest.mark.parametrize("name", ["}", "{", "a}:records{b", "t", "*", "\n", "\x00", "\u202e", "k:key", "_platform", ""])
def test_hostile_names_find_nothing(with_store, name):
    async def scenario(store):
        tenant, key = await tenant_with_key(store, user="ada")
        hostile = [
            name,
            f"{tenant}}}:records",
            f"{tenant}:{name}",
            f"{tenant}{name}" if name else "x",
            f"{name}{tenant}x",
        ]
        for each in hostile:
            assert [await store.get(kind, each, key.id) for kind in (Kind.USER, Kind.KEY)] == [None, None]
            assert [await store.get(kind, tenant, each) for kind in (Kind.USER, Kind.KEY)] == [None, None]
            assert await store.find_key(each) is None
            assert await store.tenant_of(each) == ""
            assert not await store.list(Kind.KEY, each)

    with_store(scenario)


def test_a_store_that_is_away_says_so(with_store, server):
    async def scenario(store):
        if isinstance(store, MemoryAccounts):
            store.unavailable = PlatformError(Reason.STORE_UNAVAILABLE, "away")
        else:
            await store._valkey.close()
            store = ValkeyAccounts(Valkey(server.settings(url="redis://127.0.0.1:1")))
        for ask in (store.version(), store.find_key("h"), store.list(Kind.USER, "t"), store.read("t")):
            with pytest.raises(PlatformError) as caught:
                await ask
            assert caught.value.reason is Reason.STORE_UNAVAILABLE
        if isinstance(store, ValkeyAccounts):
            await store._valkey.close()

    with_store(scenario)
