import time

from libs.clock import SystemClock
from libs.testing.loop import run_real


def test_it_reads_the_machines_clocks_and_never_goes_back():
    clock = SystemClock()
    assert clock.monotonic() <= time.monotonic() <= clock.monotonic()
    assert abs(clock.unix() - time.time()) < 5


def test_sleeping_takes_at_least_its_time():
    async def scenario():
        clock = SystemClock()
        began = clock.monotonic()
        await clock.sleep(0.01)
        await clock.sleep(0)
        return clock.monotonic() - began

    assert run_real(scenario()) >= 0.01
