"""Keys of the keys file: brought into the store once, taken back when revoked, and never brought back to life."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Key, Kind, Role
from services.gateway.domain.auth import KeyRecord
from services.gateway.usecases.accounts import KeySpec
from services.gateway.usecases.accounts.bootstrap import ANONYMOUS, Declared, KeysImport
from tests.unit.services.gateway.usecases.accounts.world import AWAY, ROOT, World, on_accounts, refused

ADMIN = KeyRecord("key_1", "acme", "hmac-1", "2025-01-02T03:04:05+00:00", "admin", Role.ADMIN)
OTHER = KeyRecord("key_2", "acme", "hmac-2", "", "other")


class File:
    """A keys file that tests write."""

    def __init__(self, *records):
        self.records, self.fresh, self.problem = list(records), True, None

    def changed(self):
        return self.fresh

    def read(self):
        if self.problem is not None:
            raise self.problem
        self.fresh = False
        return list(self.records)

    def write(self, *records):
        self.records, self.fresh = list(records), True


def importing(world, source):
    heard = []
    imported = KeysImport(source, world.store, world.clock, lambda name, problem: heard.append((name, problem.message)))
    imported.heard = heard
    return imported


def test_keys_are_made_with_their_tenant_and_role():
    async def scenario(world):
        await importing(world, File(ADMIN, OTHER)).look()
        assert await world.keys.get("acme", "key_1") == Key(
            tenant="acme", id="key_1", hmac="hmac-1", name="admin", role=Role.ADMIN, created_at=1735787045.0
        )
        assert (await world.keys.get("acme", "key_2")).created_at == world.clock.unix()
        assert (await world.tenants.get("acme")).blocked is False
        assert {entry.actor for entry in await world.accounts.audit.read("acme")} == {"install"}

    on_accounts(scenario)


def test_nothing_is_asked_of_the_store_while_nothing_changes():
    async def scenario(world):
        imported = importing(world, File(ADMIN))
        await imported.look()
        reads = world.store.reads
        await imported.look()
        assert world.store.reads == reads

    on_accounts(scenario)


def test_what_the_store_knows_is_left_as_it_is():
    async def scenario(world):
        file = File(ADMIN)
        imported = importing(world, file)
        await imported.look()
        await world.keys.update("acme", "key_1", KeySpec(role=Role.MEMBER, name="less"), ROOT)
        await world.keys.rotate("acme", "key_1", ROOT)
        kept = await world.keys.block("acme", "key_1", ROOT)
        file.write(ADMIN, OTHER)
        await imported.look()
        assert await world.keys.get("acme", "key_1") == kept

    on_accounts(scenario)


@pytest.mark.parametrize("whole_tenant", [False, True])
def test_a_deleted_key_is_never_made_again_nor_its_tenant(whole_tenant):
    async def scenario(world):
        file = File(ADMIN)
        await importing(world, file).look()
        if whole_tenant:
            await world.tenants.delete("acme", ROOT)
        else:
            await world.keys.delete("acme", "key_1", ROOT)
        for imported in (importing(world, file), importing(world, File(ADMIN))):  # this gateway and a fresh one
            await imported.changed()
        assert world.store.records.get((Kind.KEY, "acme", "key_1")) is None
        assert ((Kind.TENANT, "acme", "acme") in world.store.records) is not whole_tenant

    on_accounts(scenario)


def test_a_revoked_key_is_deleted_also_by_a_gateway_that_was_away():
    async def scenario(world):
        await importing(world, File(ADMIN, OTHER)).look()
        revoked = KeyRecord("key_2", "acme", "hmac-2", "", "other", revoked=True)
        await importing(world, File(ADMIN, revoked)).look()
        assert [key.id for key in await world.keys.list("acme")] == ["key_1"]
        await importing(world, File(ADMIN, revoked)).look()

    on_accounts(scenario)


def test_a_key_that_was_never_made_can_be_revoked():
    async def scenario(world):
        imported = importing(world, File(KeyRecord("key_2", "acme", "hmac-2", "", "other", revoked=True)))
        await imported.look()
        assert not world.store.records
        assert imported.heard == []

    on_accounts(scenario)


def test_a_key_that_vanishes_from_the_file_is_deleted_and_only_that():
    async def scenario(world):
        _, nobodys, _ = await world.populate()
        file = File(ADMIN, OTHER)
        imported = importing(world, file)
        await imported.look()
        file.write(ADMIN)
        await imported.look()
        left = {key.id for key in await world.keys.list("acme")}
        assert "key_2" not in left
        assert {"key_1", nobodys.id} <= left

    on_accounts(scenario)


def test_a_file_that_cannot_be_read_changes_nothing_and_is_reported_once():
    async def scenario(world):
        file = File(ADMIN)
        imported = importing(world, file)
        await imported.look()
        file.problem, file.fresh = PlatformError(Reason.INTERNAL, "half-written"), True
        await imported.look()
        await imported.look()
        assert await world.keys.get("acme", "key_1")
        assert imported.heard == [("all", "half-written")]
        file.problem = None
        file.write(ADMIN, OTHER)
        await imported.look()
        assert await world.keys.get("acme", "key_2")

    on_accounts(scenario)


@pytest.mark.parametrize(
    "bad",
    [
        KeyRecord("key_3", "a{b}", "h", "", ""),
        KeyRecord("k:3", "acme", "h", "", ""),
        KeyRecord("key_3", "acme", "h", "", "\x1b"),
    ],
)
def test_a_record_that_cannot_be_imported_hinders_no_other_and_is_reported_once(bad):
    async def scenario(world):
        file = File(bad, ADMIN)
        imported = importing(world, file)
        await imported.look()
        await imported.changed()
        assert [key.id for key in await world.keys.list("acme")] == ["key_1"]
        assert [name for name, _ in imported.heard] == [bad.id]

    on_accounts(scenario)


def test_without_the_store_it_is_tried_again():
    async def scenario(world):
        imported = importing(world, File(ADMIN))
        world.store.unavailable = AWAY
        with refused(Reason.STORE_UNAVAILABLE):
            await imported.look()
        world.store.unavailable = None
        await imported.changed()
        assert await world.keys.get("acme", "key_1")

    on_accounts(scenario)


def test_a_store_that_lost_everything_gets_the_keys_again():
    async def scenario(world):
        imported = importing(world, File(ADMIN))
        await imported.look()
        world.store.records.clear()
        await imported.changed()
        assert await world.keys.get("acme", "key_1")

    on_accounts(scenario)


def test_two_gateways_at_once_make_one_key():
    async def main():
        world = World()
        both = [importing(world, File(ADMIN)) for _ in range(2)]
        await asyncio.gather(*(imported.look() for imported in both))
        assert len(world.store.records) == 2
        assert [imported.heard for imported in both] == [[], []]

    run(main())


def test_anonymous_callers_have_records_for_the_ledger_and_no_key_opens_them():
    async def scenario(world):
        imported = importing(world, Declared((ANONYMOUS,)))
        await imported.look()
        assert not world.store.records  # nothing has changed; the follower calls `changed` first of all
        await imported.changed()
        assert (await world.keys.get("anonymous", "anonymous")).role is Role.SERVICE
        assert await world.store.find_key("") is None

    on_accounts(scenario)
