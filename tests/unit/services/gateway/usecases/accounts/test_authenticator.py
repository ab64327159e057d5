"""Who calls: remembered, bounded, forgotten in time; wrong keys cost the store little."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.domain.accounts.records import Key, Kind, Limits, Role
from services.gateway.domain.auth import hash_key
from services.gateway.domain.turns import Principal
from services.gateway.usecases.accounts import KeySpec, LimitsSpec
from services.gateway.usecases.accounts.authenticator import AuthLimits, KeyAuthenticator
from tests.unit.services.gateway.usecases.accounts.world import AWAY, PEPPER, ROOT, World, refused

LIMITS = AuthLimits(known_max=3, refused_max=2, refused_seconds=1.0, lookups_max=4)


def wrong(n=0):
    return "sk-hr-" + f"{n + 10**9:048x}"


def at_the_door(scenario):
    """Runs `scenario(world, door, key, text)`: a key of ada's in tenant acme."""

    async def main():
        world = World()
        key, _, text = await world.populate()
        await scenario(world, KeyAuthenticator(world.store, world.clock, PEPPER, LIMITS), key, text)

    run(main())


def test_a_key_is_looked_up_once_and_then_known():
    async def scenario(world, door, key, text):
        assert door.known(text) is None
        found = await door.authenticate(text)
        assert found == Principal("acme", key.id, "ada", Role.SERVICE)
        reads = world.store.reads
        assert door.known(text) is found
        assert await door.authenticate(text) is found
        assert world.store.reads == reads

    at_the_door(scenario)


def test_what_it_may_comes_from_key_user_and_tenant():
    async def scenario(world, door, key, text):
        spec = KeySpec(metadata={"feature": "x"}, limits=LimitsSpec(models=("small",)), role=Role.ADMIN)
        await world.keys.update("acme", key.id, spec, ROOT)
        found = await door.authenticate(text)
        assert (found.role, found.models, found.tags) == (Role.MEMBER, {"small"}, (("feature", "x"),))

    at_the_door(scenario)


@pytest.mark.parametrize("presented", ["", "sk-hr-", "\ud800", "ü" * 54, "k" * 10_000, "sk-hr-" + "A" * 48])
def test_what_cannot_be_a_key_is_refused_without_the_store(presented):
    async def scenario(world, door, key, text):
        world.store.unavailable = AWAY
        assert door.known(presented) is None
        with refused(Reason.INVALID_API_KEY) as caught:
            await door.authenticate(presented)
        assert not presented or presented not in caught.value.message.replace("sk-hr-…", "")

    at_the_door(scenario)


def test_an_overlong_text_is_not_even_hashed(monkeypatch):
    async def scenario(world, door, key, text):
        hashed = []
        monkeypatch.setattr(hashlib, "sha256", hashed.append)
        assert door.known("k" * 201) is None
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate("k" * 201)
        assert hashed == []

    at_the_door(scenario)


def test_neither_a_prefix_nor_a_longer_text_is_the_key():
    async def scenario(world, door, key, text):
        await door.authenticate(text)
        for near in (text[:-1], text + "0", text[:-1] + ("0" if text[-1] != "0" else "1"), text.upper(), f" {text}"):
            assert door.known(near) is None
            with refused(Reason.INVALID_API_KEY):
                await door.authenticate(near)

    at_the_door(scenario)


def test_the_pepper_counts():
    async def scenario(world, door, key, text):
        with refused(Reason.INVALID_API_KEY):
            await KeyAuthenticator(world.store, world.clock, b"q" * 32).authenticate(text)

    at_the_door(scenario)


def test_a_store_that_finds_another_key_is_not_believed():
    async def scenario(world, door, key, text):
        async def anything(hmac):
            return key

        world.store.find_key = anything
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(wrong())

    at_the_door(scenario)


@pytest.mark.parametrize("kind", ["tenant", "user", "key"])
def test_who_is_blocked_or_deleted_is_refused_once_the_change_is_seen(kind):
    async def scenario(world, door, key, text):
        named = {"tenant": ("acme",), "user": ("acme", "ada"), "key": ("acme", key.id)}[kind]
        cases = {"tenant": world.tenants, "user": world.users, "key": world.keys}[kind]
        await door.authenticate(text)
        await cases.block(*named, ROOT)
        assert door.known(text)  # negative control: until the change is seen, it is believed
        await door.changed()
        assert door.known(text) is None
        with refused(Reason.INVALID_API_KEY, "is blocked"):
            await door.authenticate(text)
        await cases.unblock(*named, ROOT)
        await door.changed()
        assert await door.authenticate(text)
        await cases.delete(*named, ROOT)
        await door.changed()
        with refused(Reason.INVALID_API_KEY, "is not valid"):
            await door.authenticate(text)

    at_the_door(scenario)


def test_an_expiry_counts_at_its_second_though_the_key_is_known():
    async def scenario(world, door, key, text):
        await world.keys.update("acme", key.id, KeySpec(expires_at=world.clock.unix() + 60), ROOT)
        await door.authenticate(text)
        world.clock.advance(59.5)
        assert door.known(text)
        world.clock.advance(0.5)
        assert door.known(text) is None
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(text)

    at_the_door(scenario)


def test_the_old_text_of_a_rotated_key_counts_for_its_grace():
    async def scenario(world, door, key, text):
        _, new = await world.keys.rotate("acme", key.id, ROOT, grace_seconds=60)
        assert (await door.authenticate(text)).key_id == (await door.authenticate(new)).key_id == key.id
        world.clock.advance(60)
        assert door.known(text) is None
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(text)
        assert door.known(new)

    at_the_door(scenario)


def test_a_clock_that_is_set_back_revives_nothing():
    async def scenario(world, door, key, text):
        await world.keys.update("acme", key.id, KeySpec(expires_at=world.clock.unix() + 60), ROOT)
        await door.authenticate(text)
        world.clock.advance(61)
        assert door.known(text) is None
        world.clock._unix -= 3600
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(text)

    at_the_door(scenario)


def test_a_clock_that_is_set_back_makes_no_grace_longer():
    async def scenario(world, door, key, text):
        await world.keys.rotate("acme", key.id, ROOT, grace_seconds=60)
        await door.authenticate(text)
        world.clock._unix -= 3600
        assert door.known(text)
        world.clock.advance(61)
        assert door.known(text) is None

    at_the_door(scenario)


def test_what_is_known_is_bounded_and_wrong_keys_push_nothing_out():
    async def scenario(world, door, key, text):
        texts = [(await world.keys.create("acme", KeySpec(), ROOT))[1] for _ in range(5)]
        for each in texts:
            await door.authenticate(each)
            assert len(door._known) <= LIMITS.known_max
        for n in range(20):
            with refused(Reason.INVALID_API_KEY):
                await door.authenticate(wrong(n))
            assert len(door._refused) <= LIMITS.refused_max
        assert [door.known(each) is not None for each in texts] == [False, False, True, True, True]

    at_the_door(scenario)


def test_a_wrong_key_asks_the_store_once_a_second():
    async def scenario(world, door, key, text):
        async def reads_of_five():
            before = world.store.reads
            for _ in range(5):
                with refused(Reason.INVALID_API_KEY):
                    await door.authenticate(wrong())
            return world.store.reads - before

        assert await reads_of_five() == 1
        world.clock.advance(1.0)
        assert await reads_of_five() == 1

    at_the_door(scenario)


def test_a_key_made_a_moment_after_it_was_refused_works_once_the_change_is_seen():
    async def scenario(world, door, key, text):
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(wrong())
        late = Key(tenant="acme", id="key_late", hmac=hash_key(PEPPER, wrong()))
        world.store.records[Kind.KEY, "acme", "key_late"] = late
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(wrong())
        await door.changed()
        assert (await door.authenticate(wrong())).key_id == "key_late"

    at_the_door(scenario)


class Gate:
    """Holds look-ups until it is opened."""

    def __init__(self, store):
        self.asked, self.open, self._find = 0, asyncio.Event(), store.find_key
        store.find_key = self

    async def __call__(self, hmac):
        self.asked += 1
        found = await self._find(hmac)
        await self.open.wait()
        return found


def test_at_the_same_time_a_key_is_looked_up_once():
    async def scenario(world, door, key, text):
        gate = Gate(world.store)
        waiting = [asyncio.create_task(door.authenticate(text)) for _ in range(50)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.sleep(0)
        gate.open.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert len({principal.key_id for principal in found[1:]}) == gate.asked == 1

    at_the_door(scenario)


def test_a_flood_of_wrong_keys_is_bounded_and_those_who_are_known_do_not_notice():
    async def scenario(world, door, key, text):
        await door.authenticate(text)
        gate = Gate(world.store)
        flood = [asyncio.create_task(door.authenticate(wrong(n))) for n in range(100)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert door.known(text)
        gate.open.set()
        outcomes = await asyncio.gather(*flood, return_exceptions=True)
        reasons = [outcome.reason for outcome in outcomes]
        assert gate.asked == reasons.count(Reason.INVALID_API_KEY) == LIMITS.lookups_max
        assert reasons.count(Reason.OVERLOADED) == 100 - LIMITS.lookups_max
        assert door._lookups == {}

    at_the_door(scenario)


def test_a_look_up_that_a_change_overtook_is_not_remembered():
    async def scenario(world, door, key, text):
        gate = Gate(world.store)
        asking = asyncio.create_task(door.authenticate(text))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert gate.asked == 1
        await world.keys.delete("acme", key.id, ROOT)
        await door.changed()
        gate.open.set()
        await asking  # it began before the change
        assert door.known(text) is None
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(text)

    at_the_door(scenario)


def test_without_the_store_known_keys_go_on_and_others_are_told_why():
    async def scenario(world, door, key, text):
        await door.authenticate(text)
        world.store.unavailable = AWAY
        assert await door.authenticate(text)
        with refused(Reason.STORE_UNAVAILABLE):
            await door.authenticate(wrong())
        assert door._refused == {}  # a store that is away says nothing of the key
        door.outdated()
        with refused(Reason.STORE_UNAVAILABLE):
            await door.authenticate(text)

    at_the_door(scenario)


def test_no_plain_key_is_kept_and_none_is_in_an_error():
    async def scenario(world, door, key, text):
        await door.authenticate(text)
        stranger = "sk-hr-" + "c0ffee" * 8
        problems = []
        for presented in (stranger, stranger + "x"):
            with pytest.raises(PlatformError) as caught:
                await door.authenticate(presented)
            problems.append(repr(caught.value))
        kept = repr(vars(door)) + repr(vars(world.store)) + str(problems)
        for secret in (text, stranger, text.removeprefix("sk-hr-"), stranger.removeprefix("sk-hr-")):
            assert secret not in kept

    at_the_door(scenario)


def test_an_owner_without_models_in_common_may_call_none():
    async def scenario(world, door, key, text):
        tenant = await world.tenants.get("acme")
        limited = msgspec.structs.replace(tenant, limits=Limits(models=("large",)))
        world.store.records[Kind.TENANT, "acme", "acme"] = limited
        await world.keys.update("acme", key.id, KeySpec(limits=LimitsSpec(models=("small",))), ROOT)
        assert (await door.authenticate(text)).models == frozenset()

    at_the_door(scenario)
