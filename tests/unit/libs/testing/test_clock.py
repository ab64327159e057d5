import asyncio

from libs.testing.clock import FakeClock
from libs.testing.loop import run, run_real


def test_it_stands_still_until_advanced():
    clock = FakeClock()
    before = clock.monotonic(), clock.unix()
    clock.advance(2.5)
    assert (clock.monotonic() - before[0], clock.unix() - before[1]) == (2.5, 2.5)


def test_advance_wakes_sleepers_whose_time_has_come():
    async def scenario():
        clock, woken = FakeClock(), []

        async def sleeper(seconds):
            await clock.sleep(seconds)
            woken.append(seconds)

        tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (1, 5)]
        await _settle()
        clock.advance(1)
        await _settle()
        assert woken == [1]
        clock.advance(4)
        await asyncio.gather(*tasks)
        return woken

    assert run_real(scenario()) == [1, 5]


def test_it_moves_with_the_virtual_loop():
    async def scenario():
        clock = FakeClock()
        began = clock.monotonic()
        await clock.sleep(60)
        await asyncio.sleep(30)
        return clock.monotonic() - began

    assert abs(run(scenario()) - 90) < 1e-6


def test_advance_works_on_the_virtual_loop_too():
    async def scenario():
        clock = FakeClock()
        sleeper = asyncio.create_task(clock.sleep(100))
        await _settle()
        clock.advance(100)
        await sleeper
        return asyncio.get_running_loop().time()

    assert run(scenario()) < 1


async def _settle():
    for _ in range(5):
        await asyncio.sleep(0)
