from __future__ import annotations

import pytest

from libs.kafka.letters_port import StopConsumingError
from libs.kafka.stops import Stops
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real


async def raising(error: Exception | None) -> None:
    if error is not None:
        raise error


def stopped(registry: Registry) -> list[str]:
    return [
        line for line in registry.render()[1].decode().splitlines() if line.startswith("headrace_consumer_stopped{")
    ]


def test_a_process_outlives_a_consumer_that_its_dead_letters_have_stopped() -> None:
    """Ended and started again it would move as many once more."""
    registry = Registry()
    stops = Stops(registry)
    run_real(stops.guard("requested", raising(StopConsumingError("too many"))))
    run_real(stops.guard("finished", raising(None)))
    assert stopped(registry) == [
        'headrace_consumer_stopped{consumer="requested"} 1.0',
        'headrace_consumer_stopped{consumer="finished"} 0.0',
    ]


def test_a_process_does_not_outlive_other_faults() -> None:
    with pytest.raises(ZeroDivisionError):
        run_real(Stops(Registry()).guard("requested", raising(ZeroDivisionError())))
