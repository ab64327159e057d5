import asyncio
import time

import pytest

from libs.testing.loop import LeakError, StuckError, VirtualLoop, run, run_real


def test_an_hour_of_sleep_takes_no_time():
    async def scenario():
        loop = asyncio.get_running_loop()
        await asyncio.sleep(3600)
        return loop.time()

    began = time.monotonic()
    assert run(scenario()) >= 3600
    assert time.monotonic() - began < 5


def test_timers_fire_in_order_of_their_time():
    async def scenario():
        order = []

        async def note(seconds):
            await asyncio.sleep(seconds)
            order.append(seconds)

        await asyncio.gather(note(3), note(1), note(2))
        return order

    assert run(scenario()) == [1, 2, 3]


def test_time_stands_still_while_something_is_ready():
    async def scenario():
        loop = asyncio.get_running_loop()
        loop.call_later(0.001, lambda: None)
        for _ in range(100):
            await asyncio.sleep(0)
        return loop.time()

    assert run(scenario()) == 0.0


def test_time_does_not_jump_while_a_thread_works():
    async def scenario():
        async with asyncio.timeout(0.001):
            return await asyncio.to_thread(lambda: "done")

    for _ in range(20):
        assert run(scenario()) == "done"


def test_without_the_thread_rule_the_timeout_would_jump(monkeypatch):
    release = __import__("threading").Event()

    async def scenario():
        try:
            async with asyncio.timeout(1):
                await asyncio.to_thread(release.wait)
        finally:
            release.set()

    monkeypatch.setattr(VirtualLoop, "outside_work", property(lambda _: 0, lambda _, __: None), raising=False)
    with pytest.raises(TimeoutError):
        run(scenario())


def test_waiting_for_nothing_is_an_error(monkeypatch):
    monkeypatch.setattr("libs.testing.loop.STUCK_SECONDS", 0.01)

    async def scenario():
        await asyncio.Event().wait()

    with pytest.raises(StuckError, match="no timer is set"):
        run(scenario())


@pytest.mark.parametrize("runner", [run, run_real])
def test_a_task_left_running_fails_the_test(runner):
    async def scenario():
        scenario.kept = asyncio.create_task(asyncio.sleep(9), name="forgotten")
        await asyncio.sleep(0)

    with pytest.raises(LeakError, match="forgotten"):
        runner(scenario())


@pytest.mark.parametrize("runner", [run, run_real])
def test_an_exception_that_nobody_retrieves_fails_the_test(runner):
    async def boom():
        raise ValueError("unseen")

    async def scenario():
        task = asyncio.create_task(boom())
        await asyncio.wait([task])

    with pytest.raises(LeakError, match="unseen"):
        runner(scenario())


@pytest.mark.parametrize("runner", [run, run_real])
def test_a_callback_that_raises_fails_the_test(runner):
    async def scenario():
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(LeakError, match="ZeroDivisionError"):
        runner(scenario())


def test_the_error_of_the_scenario_comes_out():
    async def scenario():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(scenario())


@pytest.mark.parametrize("runner", [run, run_real])
def test_a_task_that_was_told_to_end_may_take_some_turns(runner):
    async def slow_to_end():
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)

    async def scenario():
        scenario.kept = asyncio.create_task(slow_to_end())
        await asyncio.sleep(0)
        scenario.kept.cancel()

    runner(scenario())


def test_settling_does_not_jump_in_time():
    async def scenario():
        scenario.kept = asyncio.create_task(asyncio.sleep(0.001), name="timer")
        await asyncio.sleep(0)

    with pytest.raises(LeakError, match="timer"):
        run(scenario())


def test_an_event_that_grpc_hands_to_the_wrong_loop_is_no_fault_of_the_test():
    async def scenario(what):
        context = {"message": what, "exception": RuntimeError("Event loop is closed")}
        asyncio.get_running_loop().call_exception_handler(context)

    run(scenario("Exception in callback PollerCompletionQueue._handle_events()"))
    with pytest.raises(LeakError):
        run(scenario("Exception in callback mine()"))
