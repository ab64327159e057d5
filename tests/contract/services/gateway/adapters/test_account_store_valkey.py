"""What is true of the account store in Valkey alone: the ledger's limits, the outbox, the index, crashes."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.accounts import layout
from services.gateway.adapters.accounts.functions import ACCOUNTS, UNENDED_MS
from services.gateway.adapters.accounts.valkey import ValkeyAccounts
from services.gateway.domain.accounts.codec import decode_change
from services.gateway.domain.accounts.records import Key, Kind, Limits, Price, Tenant, User
from services.gateway.domain.ledger.limits import scope_limits
from tests.contract.services.gateway.adapters.account_records import (
    change_of,
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


def on_valkey(server, scenario):
    async def main():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        try:
            await scenario(ValkeyAccounts(valkey), valkey)
        finally:
            await valkey.close()

    run_real(main())


def test_limits_reach_the_ledger_with_the_record(server):
    async def scenario(store, valkey):
        name, key = await tenant_with_key(store, user="ada")

        async def limits(scope):
            return await valkey.command("HGET", f"hr:ledger:{{{name}}}:{scope}", "lim")

        limited = await put(store, msgspec.structs.replace(key, limits=Limits(tokens_per_minute=7)), key)
        assert await limits(f"k:{key.id}") == scope_limits(limited)
        assert await limits("u:ada") == scope_limits(User(tenant=name, id="ada"))
        await drop(store, limited)
        assert await limits(f"k:{key.id}") == scope_limits(None)
        tenant = await store.get(Kind.TENANT, name, name)
        await put(store, msgspec.structs.replace(tenant, blocked=True), tenant)
        assert msgspec.msgpack.decode(await limits("t")) == {"off": "blocked"}

    on_valkey(server, scenario)


def test_the_outbox_tells_of_the_change_in_the_ledgers_form(server):
    async def scenario(store, valkey):
        name, key = await tenant_with_key(store)
        entries = await valkey.command("XRANGE", f"hr:ledger:{{{name}}}:outbox", "-", "+")
        told = [msgspec.msgpack.decode(fields[b"e"]) for _, fields in entries]
        assert [each[0] for each in told] == ["account", "account"]
        assert len({each[1] for each in told}) == 2
        stream_ms = int(entries[0][0].split(b"-")[0])
        assert abs(told[0][3] / 1000 - stream_ms) < 1000
        assert [type(value) for value in told[0]] == [str, str, int, int, *[int] * 6, dict]
        assert told[0][4:] == [0, 0, 0, 0, 0, 0, {}]
        assert [decode_change(fields[b"a"]).after for _, fields in entries] == [Tenant(id=name), key]

    on_valkey(server, scenario)


def test_the_same_change_has_the_same_identity_in_another_store(server):
    async def scenario(store, valkey):
        name = fresh()
        await put(store, Tenant(id=name))
        with ValkeyProcess() as other:
            second = Valkey(other.settings(op_timeout_ms=2000))
            await put(ValkeyAccounts(second), Tenant(id=name))
            outbox = f"hr:ledger:{{{name}}}:outbox"
            outboxes = [await each.command("XRANGE", outbox, "-", "+") for each in (valkey, second)]
            await second.close()
        one, two = (msgspec.msgpack.decode(entries[0][1][b"e"])[1] for entries in outboxes)
        assert one == two

    on_valkey(server, scenario)


def test_every_key_of_a_tenants_change_is_in_its_slot():
    key = Key(tenant="acme", id="key_1", hmac="h", user="ada")
    for one in (key, User(tenant="acme", id="ada"), Tenant(id="acme")):
        assert all("{acme}" in name and name.count("{") == 1 for name in layout.change_keys(change_of(one, None, one)))
    price = Price(model="{acme}", input_nanodollars=1, cached_nanodollars=1, output_nanodollars=1)
    assert all("{_platform}" in name for name in layout.change_keys(change_of(price, None, price)))
    shared = (layout.TENANTS, layout.INDEX, layout.VERSION, layout.CHANGING)
    assert all(name.startswith("hr:accounts:{_platform}:") for name in shared)


def test_an_index_entry_without_its_record_counts_for_nothing_and_hinders_nothing(server):
    async def scenario(store, valkey):
        name, key = await tenant_with_key(store)
        lost = Key(tenant=name, id=fresh("key"), hmac=fresh())
        await valkey.command("HSET", layout.INDEX, lost.hmac, f"{name}/{lost.id}", "wrong", f"{name}/{key.id}")
        assert [await store.find_key(hmac) for hmac in (lost.hmac, "wrong")] == [None, None]
        await put(store, lost)
        assert await store.find_key(lost.hmac) == lost

    on_valkey(server, scenario)


class _CutOff(ValkeyAccounts):
    """A gateway that dies after its change and before it says so."""

    async def _end(self, change_id, drop):
        pass


def test_a_change_whose_gateway_died_is_seen_all_the_same(server):
    async def scenario(store, valkey):
        _, key = await tenant_with_key(store)
        before = await store.version()
        await drop(_CutOff(valkey), key)
        async with asyncio.timeout(10):
            while await valkey.command("ZCOUNT", layout.CHANGING, "-inf", "+inf"):
                await store.version()
                await asyncio.sleep(UNENDED_MS / 10_000)
        assert await store.version() > before
        assert await store.find_key(key.hmac) is None

    on_valkey(server, scenario)


class _LateEnd(ValkeyAccounts):
    """The store goes away right after the change."""

    async def _global(self, function, keys, *args):
        if function == "ended":
            raise PlatformError(Reason.STORE_UNAVAILABLE, "away")
        await super()._global(function, keys, *args)


def test_a_change_that_stands_is_no_failure_though_the_store_goes_away_then(server):
    async def scenario(store, valkey):
        name = fresh()
        await put(_LateEnd(valkey), Tenant(id=name))
        assert await store.get(Kind.TENANT, name, name) == Tenant(id=name)

    on_valkey(server, scenario)


def test_a_repeat_of_a_stored_key_does_not_take_it_out_of_the_index(server):
    async def scenario(store, valkey):
        _, key = await tenant_with_key(store)
        stale = change_of(key, None, key)
        keys = [layout.CHANGING, layout.INDEX, layout.TENANTS]
        await valkey.call(ACCOUNTS, "begun", keys, ["acct-x", "", key.hmac, f"{key.tenant}/{key.id}"])
        async with conflict():
            await store.change(stale)
        assert await store.find_key(key.hmac) == key

    on_valkey(server, scenario)


def test_two_tenants_with_the_same_user_and_key_names_share_nothing(server):
    async def scenario(store, valkey):
        one, other = fresh(), fresh()
        for tenant in (one, other):
            await put(store, Tenant(id=tenant))
            await put(store, User(tenant=tenant, id="ada", name=tenant))
            await put(store, Key(tenant=tenant, id="key_same", hmac=fresh(), user="ada", name=tenant))
        key = await store.get(Kind.KEY, one, "key_same")
        await drop(store, key)
        await drop(store, await store.get(Kind.USER, one, "ada"))
        assert (await store.get(Kind.KEY, other, "key_same")).name == other
        assert (await store.get(Kind.USER, other, "ada")).name == other

    on_valkey(server, scenario)


def test_a_record_that_cannot_be_read_is_named(server):
    async def scenario(store, valkey):
        name = fresh()
        await put(store, Tenant(id=name))
        await valkey.command("HSET", layout.records(name), "t", "[")
        with pytest.raises(PlatformError, match=name) as caught:
            await store.get(Kind.TENANT, name, name)
        assert caught.value.reason is Reason.INTERNAL

    on_valkey(server, scenario)
