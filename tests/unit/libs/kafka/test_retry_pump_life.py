import asyncio

import pytest

from libs.kafka import BrokerUnavailableError
from libs.kafka.letters_port import StopConsumingError
from libs.testing.loop import run
from tests.unit.libs.kafka.pumping import SHORT, World, waiting


def test_it_does_nothing_while_it_waits():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 3000), assigned=[SHORT])
            await world.after(0.1)
            polls = world.source.polls
            turns = _turns(world)
            await world.after(20)
            assert world.source.polls == polls
            assert turns() == 0

    run(main())


def _turns(world: World):
    """How often the pump looked for messages since."""
    calls = []
    due = world.pump._lanes.due
    world.pump._lanes.due = lambda *given: calls.append(0) or due(*given)
    return lambda: len(calls)


def test_brokers_that_are_away_are_asked_again():
    async def main():
        world = World()
        async with world.running():
            for _ in range(3):
                world.source.news.put_nowait(BrokerUnavailableError("away"))
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(2)
            assert world.returned() == [b"0"]
            assert world.source.polls == 5

    run(main())


def test_too_many_dead_letters_end_it():
    async def main():
        world = World(dead_letters_max=0)
        task = asyncio.create_task(world.pump.run())
        world.hand_out(SHORT, waiting(world, SHORT, 0, 0, b"x" * 50_000), assigned=[SHORT])
        with pytest.raises(StopConsumingError):
            await task
        assert world.source.closed
        assert not world.source.commits

    run(main())


def test_cancelled_it_leaves_the_group():
    async def main():
        world = World()
        task = asyncio.create_task(world.pump.run())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert world.source.closed

    run(main())


def test_metrics_tell_of_what_waits_and_what_returned():
    async def main():
        world = World()
        async with world.running():
            messages = (waiting(world, SHORT, 4, 0), waiting(world, SHORT, 5, 20))
            world.hand_out(SHORT, *messages, assigned=[SHORT], ends={SHORT: 9})
            await world.after(1)
            told = world.registry.render()[1].decode()
            assert 'headrace_consumer_messages_total{outcome="done",topic="t.retry-1"} 1.0' in told
            assert 'headrace_consumer_held_messages{topic="t.retry-1"} 1.0' in told
            assert 'headrace_consumer_lag_messages{topic="t.retry-1"} 4.0' in told
            assert 'headrace_consumer_partitions{topic="t.retry-1"} 1.0' in told

    run(main())


def test_drain_returns_when_it_has_left_the_group():
    async def main():
        world = World()
        task = asyncio.create_task(world.pump.run())
        world.hand_out(SHORT, waiting(world, SHORT, 0, 20), assigned=[SHORT])
        await world.after(1)
        await world.pump.drain(5)
        assert world.source.closed
        await task

    run(main())
