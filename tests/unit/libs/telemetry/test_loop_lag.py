import asyncio
import contextlib

from libs.telemetry import names
from libs.telemetry.loop_lag import watch_loop_lag
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.loop import run


def lag(block_seconds):
    async def scenario():
        registry, clock = Registry(), FakeClock()
        task = asyncio.create_task(watch_loop_lag(registry, clock))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if block_seconds:
            clock.advance(0.25 + block_seconds)
        await asyncio.sleep(0.3)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        return registry.collector.get_sample_value(f"{names.METRIC_LOOP_LAG}_sum")

    return run(scenario())


def test_an_idle_loop_has_no_lag():
    assert lag(0) < 1e-6


def test_a_blocked_loop_shows():
    assert lag(2.0) > 1.9
