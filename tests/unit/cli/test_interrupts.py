import asyncio
import contextlib

from cli.interrupts import Interrupts
from libs.testing.loop import run


async def worker(interrupts, ends):
    try:
        interrupts.armed = True
        await interrupts.stop.wait()
        ends.append("asked")
        await asyncio.sleep(3600)
        ends.append("done")
    except asyncio.CancelledError:
        ends.append("cut")
        raise


async def guarded(interrupts, work):
    with contextlib.suppress(asyncio.CancelledError):
        await interrupts.guard(work)


def test_the_first_asks_and_the_second_cuts():
    async def scenario():
        interrupts, ends = Interrupts(), []
        task = asyncio.create_task(guarded(interrupts, worker(interrupts, ends)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        interrupts.interrupt()
        await asyncio.sleep(1)
        assert ends == ["asked"]
        interrupts.interrupt()
        await task
        assert ends == ["asked", "cut"]

    run(scenario())


def test_before_there_is_anything_to_stop_in_order_the_first_cuts():
    async def scenario():
        interrupts, ends = Interrupts(), []

        async def preparing():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                ends.append("cut")
                raise

        task = asyncio.create_task(guarded(interrupts, preparing()))
        await asyncio.sleep(0.1)
        interrupts.interrupt()
        await task
        assert ends == ["cut"]

    run(scenario())
