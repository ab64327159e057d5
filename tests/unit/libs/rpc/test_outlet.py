"""The buffer between a handler that pushes and a writer that is paced."""

import asyncio

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.outlet import Outlet
from libs.testing.loop import run

BIG = pb.GenerateResponse(text="x" * 100)


def test_what_was_sent_comes_out_in_order_and_then_the_end():
    async def scenario():
        outlet = Outlet()
        for index in range(3):
            outlet.send(pb.GenerateResponse(first_index=index))
        outlet.finish()
        taken = [pb.GenerateResponse.FromString(await outlet.take()) for _ in range(3)]
        assert [response.first_index for response in taken] == [0, 1, 2]
        assert await outlet.take() is None

    run(scenario())


def test_a_reader_that_takes_nothing_is_cut_even_when_nothing_more_is_sent():
    async def scenario():
        outlet, told = Outlet(bytes_max=50, stall_seconds=5), asyncio.Event()
        outlet.on_cancel(told.set)
        outlet.send(BIG)
        began = asyncio.get_running_loop().time()
        await told.wait()
        assert asyncio.get_running_loop().time() - began == pytest.approx(5)
        with pytest.raises(PlatformError) as caught:
            outlet.send(BIG)
        assert caught.value.reason is Reason.SLOW_READER

    run(scenario())


def test_a_reader_that_takes_in_time_is_not_cut():
    async def scenario():
        outlet = Outlet(bytes_max=50, stall_seconds=5)
        for _ in range(4):
            outlet.send(BIG)
            await asyncio.sleep(4)
            await outlet.take()
        outlet.send(BIG)

    run(scenario())


def test_ready_waits_for_room():
    async def scenario():
        outlet = Outlet(bytes_max=50)
        await outlet.ready()
        outlet.send(BIG)
        waiting = asyncio.ensure_future(outlet.ready())
        await asyncio.sleep(0)
        assert not waiting.done()
        await outlet.take()
        await waiting

    run(scenario())


def test_ready_and_send_raise_once_the_call_is_over_and_the_callback_comes_once():
    async def scenario():
        outlet, told = Outlet(bytes_max=50), []
        outlet.on_cancel(lambda: told.append(1))
        outlet.send(BIG)
        waiting = asyncio.ensure_future(outlet.ready())
        await asyncio.sleep(0)
        for _ in range(2):
            outlet.abandon(PlatformError(Reason.CANCELLED, "gone"))
        with pytest.raises(PlatformError):
            await waiting
        with pytest.raises(PlatformError):
            outlet.send(BIG)
        assert told == [1]
        outlet.on_cancel(lambda: told.append(2))
        assert told == [1, 2], "one who comes late is told at once"

    run(scenario())
