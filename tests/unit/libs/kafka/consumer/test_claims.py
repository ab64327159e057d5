import asyncio

from kafka import TopicPartition

from libs.kafka.consumer.claims import Claims
from libs.kafka.consumer.handover import Handover
from libs.testing.loop import run_real

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)
GRACE_SECONDS = 30.0


class World:
    """The client's loop is the test's own."""

    def __init__(self, grace_seconds=GRACE_SECONDS):
        self.handover, self.served = Handover(asyncio.get_running_loop()), 0
        self.claims = Claims(self.handover, grace_seconds, self._serve, lambda _: asyncio.sleep(0))

    def _serve(self):
        self.served += 1

    async def assigned(self, *places):
        await self.claims.on_partitions_assigned(places)
        return (await self.handover.next()).assigned


def test_a_partition_that_comes_again_is_another_claim():
    async def main():
        world = World()
        [first] = await world.assigned(ONE)
        await world.claims.on_partitions_lost([ONE])
        assert (await world.handover.next()).lost == [first]
        [second] = await world.assigned(ONE)
        assert first != second
        assert world.claims.split({first: 5}) == ({}, [first])
        assert world.claims.split({second: 6}) == ({ONE: 6}, [])
        assert world.claims.held([first, second]) == [ONE]

    run_real(main())


def test_a_revoked_partition_is_kept_until_the_next_poll_and_requests_are_served_meanwhile():
    async def main():
        world = World()
        one, two = await world.assigned(ONE, TWO)
        giving = asyncio.ensure_future(world.claims.on_partitions_revoked([TWO]))
        assert (await world.handover.next()).revoked == [two]
        for _ in range(20):
            await asyncio.sleep(0)
        assert not giving.done()
        assert world.served > 5
        assert world.claims.split({two: 9}) == ({TWO: 9}, [])  # still its own
        polling = asyncio.ensure_future(world.handover.next())
        await giving
        assert world.claims.split({one: 1, two: 9}) == ({ONE: 1}, [two])
        polling.cancel()

    run_real(main())


def test_a_loop_that_does_not_poll_again_keeps_nothing_beyond_the_grace():
    async def main():
        world = World(grace_seconds=0.01)
        [two] = await world.assigned(TWO)
        await world.claims.on_partitions_revoked([TWO])
        assert world.claims.split({two: 9}) == ({}, [two])

    run_real(main())


def test_a_member_that_closes_waits_for_nobody():
    async def main():
        world = World()
        await world.assigned(ONE)
        world.handover.close()
        async with asyncio.timeout(GRACE_SECONDS / 2):
            await world.claims.on_partitions_revoked([ONE])
        assert world.claims.find(ONE) is None

    run_real(main())


def test_what_is_lost_is_told_once():
    async def main():
        world = World()
        claims = await world.assigned(ONE, TWO)
        world.claims.end_all()
        world.claims.end_all()
        await world.claims.on_partitions_lost([ONE, TWO])
        assert (await world.handover.next()).lost == claims
        assert not world.handover._news

    run_real(main())
