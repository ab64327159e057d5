"""Changes are seen within a second, a store that is away is borne for a while, and neither ends the following."""

from __future__ import annotations

import asyncio

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.usecases.accounts import TenantSpec
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator
from services.gateway.usecases.accounts.follow import AccountsFollower
from services.gateway.usecases.accounts.steady_time import SteadyTime
from tests.unit.services.gateway.usecases.accounts.world import AWAY, PEPPER, ROOT, World, refused


class Told:
    def __init__(self, problem=None):
        self.changes, self.outdated_calls, self.problem = 0, 0, problem

    async def changed(self):
        self.changes += 1
        if self.problem is not None:
            raise self.problem

    def outdated(self):
        self.outdated_calls += 1


class Following:
    def __init__(self, world, *followers, first=None):
        self.heard, self.firsts = [], 0
        self.follower = AccountsFollower(
            world.store, world.clock, followers, first=first or self._first,
            every_seconds=0.25, stale_seconds=300.0, report=self.heard.append,
        )  # fmt: skip

    async def _first(self):
        self.firsts += 1

    def look(self):
        return self.follower.look()


def test_followers_are_told_at_first_and_at_each_change():
    async def main():
        world, told = World(), Told()
        following = Following(world, told)
        for changes in (1, 1):
            await following.look()
            assert told.changes == changes
        await world.tenants.create("acme", TenantSpec(), ROOT)
        for changes in (2, 2):
            await following.look()
            assert told.changes == changes
        assert following.firsts == 4
        assert following.heard == []

    run(main())


def test_a_version_that_went_back_is_a_change_too():
    async def main():
        world, told = World(), Told()
        await world.tenants.create("acme", TenantSpec(), ROOT)
        following = Following(world, told)
        await following.look()
        world.store.changes.clear()  # the store lost everything
        await following.look()
        assert told.changes == 2

    run(main())


def test_a_revoked_key_is_refused_within_a_second():
    async def main():
        world = World()
        key, _, text = await world.populate()
        door = KeyAuthenticator(world.store, world.clock, PEPPER)
        following = asyncio.create_task(Following(world, door).follower.run())
        await asyncio.sleep(1)
        await door.authenticate(text)
        await world.keys.delete("acme", key.id, ROOT)
        assert door.known(text)
        await asyncio.sleep(0.26)
        assert door.known(text) is None
        with refused(Reason.INVALID_API_KEY):
            await door.authenticate(text)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    run(main())


def test_after_a_store_that_was_away_everything_is_read_again_and_each_turn_is_reported_once():
    async def main():
        world, told = World(), Told()
        following = Following(world, told)
        await following.look()
        world.store.unavailable = AWAY
        await following.look()
        await following.look()
        world.store.unavailable = None
        await following.look()
        await following.look()
        assert (told.changes, following.heard) == (2, [AWAY, None])

    run(main())


def test_what_is_remembered_is_given_up_when_the_store_is_away_for_long():
    async def main():
        world, told = World(), Told()
        following = Following(world, told)
        await following.look()
        world.store.unavailable = AWAY
        world.clock.advance(299)
        await following.look()
        assert told.outdated_calls == 0
        world.clock.advance(2)
        await following.look()
        assert told.outdated_calls == 1

    run(main())


def test_a_follower_that_fails_is_called_again_and_those_before_it_have_heard():
    async def main():
        world, first, second = World(), Told(), Told(PlatformError(Reason.INTERNAL, "broken"))
        following = Following(world, first, second)
        await following.look()
        assert first.changes == 1
        assert following.heard == [second.problem]
        second.problem = None
        await following.look()
        await following.look()
        assert (second.changes, following.heard[1:]) == (2, [None])

    run(main())


def test_what_comes_first_may_change_accounts_and_may_fail():
    async def main():
        world, told = World(), Told()

        async def first():
            if not world.store.records:
                await world.tenants.create("acme", TenantSpec(), ROOT)

        following = Following(world, told, first=first)
        await following.look()
        await following.look()
        assert told.changes == 1
        world.store.records.clear()
        world.store.unavailable = AWAY
        await following.look()
        assert following.heard == [AWAY]

    run(main())


def test_steady_time_follows_the_wall_clock_and_never_goes_back():
    async def main():
        clock = World().clock
        time = SteadyTime(clock)
        assert time.now() == clock.unix()
        clock.advance(10)
        assert time.now() == clock.unix()
        before = clock.unix()
        clock._unix -= 100
        assert time.now() == before
        clock.advance(5)
        assert time.now() == before + 5
        clock._unix += 1000
        assert time.now() == clock.unix()

    run(main())
