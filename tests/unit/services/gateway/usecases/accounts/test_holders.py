"""In whose name ordered work is done: looked up by the key's id, remembered, and no more than the key may now."""

from __future__ import annotations

import msgspec
import pytest

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Kind, Role
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySpec, LimitsSpec
from services.gateway.usecases.accounts.holders import KeyHolders
from tests.unit.services.gateway.usecases.accounts.world import AWAY, ROOT, World, refused


def holding(scenario):
    """Runs `scenario(world, holders, key)`: a key of ada's in tenant acme."""

    async def main():
        world = World()
        key, _, _ = await world.populate()
        await scenario(world, KeyHolders(world.store, world.clock, 2), key)

    run(main())


def test_a_key_is_looked_up_once_by_its_id():
    async def scenario(world, holders, key):
        found = await holders.principal("acme", key.id)
        assert found == Principal("acme", key.id, "ada", Role.SERVICE)
        reads = world.store.reads
        assert await holders.principal("acme", key.id) is found
        assert world.store.reads == reads

    holding(scenario)


def test_what_it_may_is_what_the_key_may_once_the_change_is_seen():
    async def scenario(world, holders, key):
        await holders.principal("acme", key.id)
        await world.keys.update("acme", key.id, KeySpec(limits=LimitsSpec(models=("small",))), ROOT)
        assert (await holders.principal("acme", key.id)).models is None
        await holders.changed()
        assert (await holders.principal("acme", key.id)).models == {"small"}

    holding(scenario)


@pytest.mark.parametrize("kind", ["tenant", "user", "key"])
def test_who_is_blocked_orders_nothing_more(kind):
    async def scenario(world, holders, key):
        named = {"tenant": ("acme",), "user": ("acme", "ada"), "key": ("acme", key.id)}[kind]
        await {"tenant": world.tenants, "user": world.users, "key": world.keys}[kind].block(*named, ROOT)
        with refused(Reason.INVALID_API_KEY, "is blocked"):
            await holders.principal("acme", key.id)

    holding(scenario)


def test_a_key_that_expires_is_not_remembered_beyond_its_time():
    async def scenario(world, holders, key):
        place = (Kind.KEY, "acme", key.id)
        world.store.records[place] = msgspec.structs.replace(key, expires_at=world.clock.unix() + 10)
        assert await holders.principal("acme", key.id)
        world.clock.advance(10)
        with refused(Reason.INVALID_API_KEY, "has expired"):
            await holders.principal("acme", key.id)

    holding(scenario)


@pytest.mark.parametrize("tenant", ["acme", "globex"])
def test_another_tenants_key_and_one_that_is_gone_are_none(tenant):
    async def scenario(world, holders, key):
        with refused(Reason.INVALID_API_KEY):
            await holders.principal(tenant, key.id if tenant == "globex" else "key_gone")

    holding(scenario)


def test_what_was_read_before_a_change_is_not_kept_after_it():
    async def scenario(world, holders, key):
        get = world.store.get

        async def slow(kind, tenant, record_id):
            found = await get(kind, tenant, record_id)
            await holders.changed()
            return found

        world.store.get = slow
        await holders.principal("acme", key.id)
        world.store.get = get
        reads = world.store.reads
        await holders.principal("acme", key.id)
        assert world.store.reads > reads

    holding(scenario)


def test_a_store_that_is_away_is_told_and_nothing_is_kept():
    async def scenario(world, holders, key):
        world.store.unavailable = AWAY
        with refused(Reason.STORE_UNAVAILABLE):
            await holders.principal("acme", key.id)
        world.store.unavailable = None
        assert await holders.principal("acme", key.id)

    holding(scenario)


def test_so_many_are_remembered_and_no_more():
    async def scenario(world, holders, key):
        for name in ("k1", "k2"):
            world.store.records[Kind.KEY, "acme", name] = msgspec.structs.replace(key, id=name)
        for name in (key.id, "k1", "k2"):
            await holders.principal("acme", name)
        reads = world.store.reads
        await holders.principal("acme", "k2")
        assert world.store.reads == reads
        await holders.principal("acme", key.id)
        assert world.store.reads > reads

    holding(scenario)
