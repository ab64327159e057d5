import asyncio

import pytest

from libs.testing.loop import run
from services.inference.adapters.vllm.arrived import Arrived


class Core:
    """As vLLM's client: an exception in the queue is the engine's death."""

    def __init__(self, *items):
        self.outputs_queue = asyncio.Queue()
        for item in items:
            self.outputs_queue.put_nowait(item)

    async def get_output_async(self):
        item = await self.outputs_queue.get()
        if isinstance(item, Exception):
            raise item
        return item


def test_what_is_here_comes_together_and_nothing_is_waited_for():
    async def scenario():
        core = Core(1, 2)
        arrived = Arrived(core)
        assert await arrived.take() == [1, 2]
        waiting = asyncio.ensure_future(arrived.take())
        await asyncio.sleep(0)
        core.outputs_queue.put_nowait(3)
        assert await waiting == [3]

    run(scenario())


def test_what_the_engine_had_made_comes_before_its_death():
    async def scenario():
        arrived = Arrived(Core(1, 2, RuntimeError("gone")))
        assert await arrived.take() == [1, 2]
        for _ in range(2):
            with pytest.raises(RuntimeError, match="gone"):
                await arrived.take()

    run(scenario())
