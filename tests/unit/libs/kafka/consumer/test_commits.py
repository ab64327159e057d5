import asyncio

import pytest

from libs.kafka import BrokerUnavailableError
from libs.kafka.consumer.commits import Commits
from libs.kafka.consumer.lane import Lane
from libs.kafka.consumer.metrics import ConsumerMetrics
from libs.kafka.consumer.port import Claim
from libs.kafka.handling import Delivery
from libs.kafka.settings import ConsumerSettings
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run


class Book:
    """The commits of a source, and faults to put on them."""

    def __init__(self):
        self.commits, self.errors, self.refused = [], [], set()
        self.at_once = self.at_once_max = 0

    async def commit(self, offsets):
        self.at_once += 1
        self.at_once_max = max(self.at_once, self.at_once_max)
        await asyncio.sleep(0.01)
        self.at_once -= 1
        if self.errors:
            raise self.errors.pop(0)
        self.commits.append({claim.partition: offset for claim, offset in offsets.items()})
        return [claim for claim in offsets if claim.partition in self.refused]


class World:
    def __init__(self, **changes):
        self.book, self.registry, self.fenced = Book(), Registry(), []
        settings = ConsumerSettings(**{"commit_seconds": 1.0, "retry_seconds_min": 2.0, **changes})
        self.clock = FakeClock()
        self.commits = Commits(self.book, self.clock, settings, ConsumerMetrics(self.registry), self.fenced.append)

    def done(self, lane, offset):
        message = Delivery("t", lane.claim.partition, offset, b"", b"", {})
        lane.take([message], 0)
        lane.finish(message)
        self.commits.progressed(lane)

    def failures(self, cause):
        name = f'headrace_consumer_commit_failures_total{{cause="{cause}"}} '
        lines = self.registry.render()[1].decode().splitlines()
        return sum(float(line[len(name) :]) for line in lines if line.startswith(name))


def lane(partition=0):
    return Lane(Claim("t", partition))


def test_commits_come_at_most_so_often_and_tell_the_last_of_each_partition():
    async def main():
        world, one, two = World(), lane(0), lane(1)
        committing = asyncio.ensure_future(world.commits.run())
        world.done(one, 0)
        await asyncio.sleep(0.5)
        world.done(one, 1)
        world.done(one, 2)
        world.done(two, 7)
        await asyncio.sleep(0.4)
        assert world.book.commits == [{0: 1}]
        await asyncio.sleep(0.2)
        assert world.book.commits == [{0: 1}, {0: 3, 1: 8}]
        await asyncio.sleep(60)
        assert len(world.book.commits) == 2
        committing.cancel()

    run(main())


def test_what_was_not_acknowledged_is_committed_later_by_its_latest_offset():
    async def main():
        world, one = World(), lane()
        world.book.errors = [BrokerUnavailableError("away")] * 2
        committing = asyncio.ensure_future(world.commits.run())
        world.done(one, 0)
        await asyncio.sleep(1.0)
        assert world.failures("broker") == 1
        world.done(one, 1)
        await asyncio.sleep(1.5)  # two seconds behind the first
        assert world.failures("broker") == 2
        await asyncio.sleep(3.0)
        assert world.book.commits == []
        await asyncio.sleep(2.0)  # four behind the second
        assert world.book.commits == [{0: 2}]
        assert one.committed == 2
        committing.cancel()

    run(main())


def test_a_refused_partition_is_told_and_counted_and_the_others_count_as_committed():
    async def main():
        world, mine, lost = World(), lane(0), lane(1)
        world.book.refused = {1}
        world.done(mine, 0)
        world.done(lost, 0)
        await world.commits.flush()
        assert world.fenced == [lost]
        assert world.failures("fenced") == 1
        assert (mine.committed, lost.committed) == (1, None)

    run(main())


def test_a_partition_that_is_gone_is_not_committed():
    async def main():
        world, gone = World(), lane()
        world.done(gone, 0)
        gone.gone = True
        await world.commits.flush()
        assert world.book.commits == []

    run(main())


def test_one_commit_at_a_time_so_that_none_overtakes_another():
    async def main():
        world, one = World(), lane()
        world.done(one, 0)
        first = asyncio.ensure_future(world.commits.flush())
        await asyncio.sleep(0)
        world.done(one, 1)
        await asyncio.gather(first, world.commits.flush())
        assert world.book.commits == [{0: 1}, {0: 2}]
        assert world.book.at_once_max == 1

    run(main())


def test_a_commit_that_is_cut_off_is_made_again():
    async def main():
        world, one = World(), lane()
        world.done(one, 0)
        first = asyncio.ensure_future(world.commits.flush())
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        await world.commits.flush()
        assert world.book.commits == [{0: 1}]

    run(main())
