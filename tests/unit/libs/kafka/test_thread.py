import asyncio
import threading

import pytest

from libs.kafka.thread import OneThread
from libs.testing.loop import run_real

SECONDS_MAX = 10.0


def test_work_runs_in_order_on_one_thread_that_ends_with_it():
    async def main():
        thread, names = OneThread("one"), []

        def note(number):
            names.append((number, threading.current_thread().name))
            return number * 2

        assert await asyncio.gather(*(thread.run(lambda n=n: note(n)) for n in range(5))) == [0, 2, 4, 6, 8]
        assert names == [(n, "one") for n in range(5)]
        thread.stop()
        thread.stop()

    run_real(main())


def test_an_error_reaches_its_caller_and_the_thread_goes_on():
    async def main():
        thread = OneThread("one")
        with pytest.raises(ZeroDivisionError):
            await thread.run(lambda: 1 / 0)
        assert await thread.run(lambda: 7) == 7
        thread.stop()

    run_real(main())


def test_the_loop_turns_while_a_thread_is_blocked_and_a_cancelled_caller_goes():
    async def main():
        thread, block, ran = OneThread("one"), threading.Event(), []
        blocked = asyncio.ensure_future(thread.run(lambda: block.wait(SECONDS_MAX)))
        behind = asyncio.ensure_future(thread.run(lambda: ran.append("behind")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert not blocked.done()
        behind.cancel()
        blocked.cancel()
        await asyncio.gather(blocked, behind, return_exceptions=True)
        block.set()
        assert await thread.run(lambda: "after") == "after"
        assert ran == []  # its caller was gone before its turn
        thread.stop()

    run_real(main())
