from __future__ import annotations

from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.workers import Channels, RpcWorkers
from tests.unit.services.gateway.usecases.world import Worker


class Line:
    def __init__(self, address):
        self.address, self.closed = address, 0

    async def close(self):
        self.closed += 1


def test_one_channel_per_address_until_it_has_long_been_idle():
    async def scenario():
        clock, dialled = FakeClock(), []

        def dial(address):
            dialled.append(Line(address))
            return dialled[-1]

        channels = Channels(dial, clock, idle_seconds=60)
        first = channels.get("a", timeout=1)
        assert channels.get("a", timeout=600) is first
        assert channels.get("a", timeout=1) is first
        channels.get("b", timeout=1)
        clock.advance(100)
        await channels.sweep()
        # A call on "a" may still be running: it was given ten minutes.
        assert [line.closed for line in dialled] == [0, 1]
        clock.advance(600)
        await channels.sweep()
        assert first.closed == 1
        assert channels.get("a", timeout=1) is not first
        await channels.close()
        await channels.close()
        assert dialled[-1].closed == 1

    run(scenario())


def test_the_sweeper_sweeps():
    async def scenario():
        clock, lines = FakeClock(), []
        channels = Channels(lambda address: lines.append(Line(address)) or lines[-1], clock, idle_seconds=60)
        channels.get("a", timeout=1)
        import asyncio

        task = asyncio.get_running_loop().create_task(channels.keep_swept())
        await clock.sleep(200)
        assert lines[0].closed == 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario())


def test_a_worker_lives_when_it_answers_in_the_same_life():
    async def scenario():
        clock, worker = FakeClock(), Worker("a", boot_id="first")
        channel = InMemoryChannel(worker.handlers(), clock=clock)
        workers = RpcWorkers(Channels(lambda _: channel, clock))
        assert await workers.lives("a", "first", timeout=1)
        assert not await workers.lives("a", "second", timeout=1)
        channel.lose()
        assert not await workers.lives("a", "first", timeout=1)

    run(scenario())
