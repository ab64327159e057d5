"""How late the event loop runs its timers: the first sign that a process is out of CPU."""

from __future__ import annotations

from libs.clock import Clock
from libs.telemetry import names
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry

INTERVAL_SECONDS = 0.25
_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


async def watch_loop_lag(registry: Registry, clock: Clock) -> None:
    """Samples until cancelled."""
    lag = registry.histogram(names.METRIC_LOOP_LAG, "Delay of a timer behind its time.", NoLabels, _BUCKETS)
    while True:
        due = clock.monotonic() + INTERVAL_SECONDS
        await clock.sleep(INTERVAL_SECONDS)
        lag.observe(NO_LABELS, max(0.0, clock.monotonic() - due))
