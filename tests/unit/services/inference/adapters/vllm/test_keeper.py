import asyncio
import threading

import pytest

from libs.testing.loop import run_real
from services.inference.adapters.vllm.keeper import Keeper


def test_the_thread_that_built_lives_until_it_has_stopped_what_it_built():
    threads = []

    async def scenario():
        keeper = Keeper(
            lambda: threads.append(threading.current_thread()) or "engine",
            lambda built: threads.append((built, threading.current_thread())),
        )
        assert await keeper.start(5) == "engine"
        assert threads[0].is_alive()
        assert threads[0] is not threading.main_thread()
        await keeper.close()
        await keeper.close()
        assert threads[1:] == [("engine", threads[0])]

    run_real(scenario())


def test_errors_come_to_the_caller():
    def fail(*_):
        raise ValueError("no model")

    async def scenario():
        keeper = Keeper(fail, fail)
        with pytest.raises(ValueError, match="no model"):
            await keeper.start(5)
        await keeper.close()
        stopping = Keeper(lambda: 1, fail)
        await stopping.start(5)
        with pytest.raises(ValueError, match="no model"):
            await stopping.close()

    run_real(scenario())


def test_without_a_start_there_is_nothing_to_close():
    run_real(Keeper(lambda: 1, lambda _: None).close())


def test_a_start_that_is_given_up_does_not_hold_the_end_up_and_is_stopped_when_it_comes():
    stopped = threading.Event()

    async def scenario():
        go = threading.Event()
        keeper = Keeper(go.wait, lambda _: stopped.set())
        with pytest.raises(asyncio.TimeoutError):
            await keeper.start(0.05)
        await asyncio.wait_for(keeper.close(), 1)
        assert not stopped.is_set()
        go.set()

    run_real(scenario())
    assert stopped.wait(5)
