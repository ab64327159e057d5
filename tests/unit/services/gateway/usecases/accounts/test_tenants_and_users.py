"""Tenants and users: made once, changed as told, and gone with all that hangs on them."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Key, Kind, Limits, Role, Tenant, User
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySpec, LimitsSpec, TenantSpec, UserSpec, accounts_over
from services.gateway.usecases.accounts.changes import TRIES_MAX, Changes
from tests.unit.services.gateway.usecases.accounts.world import AWAY, ROOT, Overtaken, World, on_accounts, refused


def test_a_tenant_and_a_user_are_what_was_said():
    async def scenario(world):
        tenant = await world.tenants.create("acme", TenantSpec(name="Acme", priority=2), ROOT)
        user = await world.users.create("acme", "ada", UserSpec(role=Role.TENANT_ADMIN), ROOT)
        at = world.clock.unix()
        assert tenant == await world.tenants.get("acme") == Tenant(id="acme", name="Acme", priority=2, created_at=at)
        assert user == await world.users.get("acme", "ada")
        assert (user.tenant, user.role, user.created_at) == ("acme", Role.TENANT_ADMIN, at)
        assert [each.id for each in await world.tenants.list()] == ["acme"]
        assert list(await world.users.list("acme", after="ad", limit=5)) == [user]

    on_accounts(scenario)


def test_what_is_there_cannot_be_made_again():
    async def scenario(world):
        await world.populate()
        with refused(Reason.CONFLICT, "exists already"):
            await world.tenants.create("acme", TenantSpec(name="theirs"), ROOT)
        with refused(Reason.CONFLICT, "exists already"):
            await world.users.create("acme", "ada", UserSpec(role=Role.ADMIN), ROOT)
        assert (await world.users.get("acme", "ada")).role is Role.MEMBER

    on_accounts(scenario)


def test_what_is_not_there_is_404_whatever_is_done_to_it():
    async def scenario(world):
        for ask in (
            lambda: world.tenants.get("none"),
            lambda: world.tenants.update("none", TenantSpec(), ROOT),
            lambda: world.tenants.block("none", ROOT),
            lambda: world.tenants.delete("none", ROOT),
            lambda: world.users.get("none", "ada"),
            lambda: world.users.unblock("none", "ada", ROOT),
            lambda: world.users.delete("none", "ada", ROOT),
            lambda: world.keys.get("none", "key"),
            lambda: world.keys.locate("key"),
            lambda: world.keys.rotate("none", "key", ROOT),
            lambda: world.keys.delete("none", "key", ROOT),
        ):
            with refused(Reason.NOT_FOUND):
                await ask()

    on_accounts(scenario)


@pytest.mark.parametrize("bad", ["a{b}", "a:b", "a\n", "_platform", "", "a" * 65])
def test_bad_ids_reach_no_store(bad):
    async def scenario(world):
        await world.populate()
        changes = len(world.store.changes)
        for make in (
            lambda: world.tenants.create(bad, TenantSpec(), ROOT),
            lambda: world.users.create("acme", bad, UserSpec(), ROOT),
            lambda: world.users.create(bad, "ada", UserSpec(), ROOT),
            lambda: world.keys.create(bad, KeySpec(), ROOT),
        ):
            with refused(Reason.INVALID_REQUEST):
                await make()
        if bad:
            with refused(Reason.INVALID_REQUEST):
                await world.keys.create("acme", KeySpec(), ROOT, user=bad)
        assert len(world.store.changes) == changes

    on_accounts(scenario)


def test_bad_values_change_nothing():
    async def scenario(world):
        hers, *_ = await world.populate()
        for spec in (LimitsSpec(requests_per_minute=0), LimitsSpec(request_budget_nanodollars=2**53)):
            with refused(Reason.INVALID_REQUEST):
                await world.keys.update("acme", hers.id, KeySpec(limits=spec), ROOT)
            with refused(Reason.INVALID_REQUEST):
                await world.tenants.update("acme", TenantSpec(limits=spec), ROOT)
        assert await world.keys.get("acme", hers.id) == hers
        assert (await world.tenants.get("acme")).limits == Limits()

    on_accounts(scenario)


def test_blocking_is_undone_and_a_repeat_is_no_change():
    async def scenario(world):
        hers, *_ = await world.populate()
        for block, unblock in (
            (lambda: world.tenants.block("acme", ROOT), lambda: world.tenants.unblock("acme", ROOT)),
            (lambda: world.users.block("acme", "ada", ROOT), lambda: world.users.unblock("acme", "ada", ROOT)),
            (lambda: world.keys.block("acme", hers.id, ROOT), lambda: world.keys.unblock("acme", hers.id, ROOT)),
        ):
            assert (await block()).blocked
            version = await world.store.version()
            assert (await block()).blocked
            assert await world.store.version() == version
            assert not (await unblock()).blocked

    on_accounts(scenario)


def test_every_change_names_who_made_it():
    async def scenario(world):
        hers, *_ = await world.populate()
        await world.keys.update("acme", hers.id, KeySpec(name="n"), Principal("acme", "key_eve"))
        entry = (await world.accounts.audit.read("acme", limit=1))[0]
        assert (entry.actor, entry.at, entry.before["name"], entry.after["name"]) == (
            "key_eve", world.clock.unix(), "hers", "n",
        )  # fmt: skip

    on_accounts(scenario)


def test_a_deleted_user_takes_its_keys_along_and_nobody_elses():
    async def scenario(world):
        _, nobodys, _ = await world.populate()
        await world.users.delete("acme", "ada", ROOT)
        assert list(await world.keys.list("acme")) == [nobodys]
        assert list(await world.users.list("acme")) == []

    on_accounts(scenario)


def test_a_deleted_tenant_takes_everything_along_and_a_later_one_of_its_name_has_nothing():
    async def scenario(world):
        await world.populate()
        await world.tenants.create("other", TenantSpec(), ROOT)
        await world.tenants.delete("acme", ROOT)
        assert [tenant.id for tenant in await world.tenants.list()] == ["other"]
        await world.tenants.create("acme", TenantSpec(), ROOT)
        assert (await world.tenants.get("acme")).blocked is False
        assert list(await world.keys.list("acme")) == list(await world.users.list("acme")) == []

    on_accounts(scenario)


def test_a_deletion_that_is_cut_short_leaves_the_tenant_blocked_and_is_finished_by_a_repeat():
    async def scenario(world):
        await world.populate()
        change, left = world.store.change, [2]

        async def failing(wanted):
            left[0] -= 1
            if left[0] < 0:
                raise AWAY
            await change(wanted)

        world.store.change = failing
        with refused(Reason.STORE_UNAVAILABLE):
            await world.tenants.delete("acme", ROOT)
        assert (await world.tenants.get("acme")).blocked
        world.store.change = change
        await world.tenants.delete("acme", ROOT)
        assert not world.store.records

    on_accounts(scenario)


def test_a_key_made_while_its_tenant_is_deleted_is_deleted_too():
    async def scenario(world):
        await world.populate()
        drop, late = Changes.drop, []

        async def with_a_late_key(changes, record, actor):
            if isinstance(record, Tenant) and not late:
                late.append(await world.keys.create("acme", KeySpec(), ROOT))
            return await drop(changes, record, actor)

        Changes.drop = with_a_late_key
        try:
            await world.tenants.delete("acme", ROOT)
        finally:
            Changes.drop = drop
        assert late
        assert not world.store.records

    on_accounts(scenario)


def over(store):
    world = World()
    world.store = store
    return accounts_over(store, store, store, world.clock, world.keys._secrets)


def test_updates_at_the_same_time_are_all_kept():
    async def main():
        store = Overtaken(3, Tenant(id="acme"))
        after = await over(store).tenants.update("acme", TenantSpec(priority=5), ROOT)
        assert (after.priority, after.name) == (5, "+++")

    run(main())


def test_who_is_overtaken_again_and_again_is_told():
    async def main():
        store = Overtaken(TRIES_MAX, Tenant(id="acme"))
        with refused(Reason.CONFLICT, "Read it again"):
            await over(store).tenants.update("acme", TenantSpec(priority=5), ROOT)
        assert store.records[Kind.TENANT, "acme", "acme"].priority == 0

    run(main())


def test_many_at_once_lose_nothing():
    async def scenario(world):
        hers, *_ = await world.populate()
        read = world.store.get

        async def slowly(*which):
            found = await read(*which)
            await asyncio.sleep(0)
            return found

        world.store.get = slowly

        async def tag(n):
            def edit(key):
                return msgspec.structs.replace(key, metadata={**key.metadata, f"t{n}": "x"})

            await Changes(world.store, world.clock).edit(Key, "acme", hers.id, ROOT, edit)

        await asyncio.gather(*(tag(n) for n in range(8)))
        assert len((await world.keys.get("acme", hers.id)).metadata) == 8

    on_accounts(scenario)


def test_users_of_two_tenants_with_one_name_are_two():
    async def scenario(world):
        await world.populate()
        await world.tenants.create("other", TenantSpec(), ROOT)
        await world.users.create("other", "ada", UserSpec(name="theirs"), ROOT)
        await world.users.delete("acme", "ada", ROOT)
        assert await world.users.get("other", "ada") == User(
            tenant="other", id="ada", name="theirs", created_at=world.clock.unix()
        )

    on_accounts(scenario)
