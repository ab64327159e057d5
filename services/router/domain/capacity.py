"""What a pool could take now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from services.router.domain.worker import Worker


class Capacity(NamedTuple):
    """Sums over live workers, as this router sees them; fields as WatchCapacityResponse has them."""

    workers: int = 0
    running: int = 0
    waiting: int = 0
    slots_idle: int = 0
    queue_wait_ms: int = 0


def capacity(workers: Sequence[Worker]) -> Capacity:
    """The sum. Calls that this router has just sent count as running.

    The wait is that of the worker where it is shortest, which is where placement would send a call: none where a slot
    is idle, else what calls have waited there lately.
    """
    if not workers:
        return Capacity()
    idle = [_idle(worker) for worker in workers]
    sent = sum(len(worker.recent) for worker in workers)
    waiting = sum(worker.waiting for worker in workers)
    running = sum(worker.told for worker in workers) - waiting + sent
    wait = min(0 if slots else _wait_ms(worker) for worker, slots in zip(workers, idle, strict=True))
    return Capacity(len(workers), running, waiting, sum(idle), wait)


def _idle(worker: Worker) -> int:
    """Calls that would begin at once there. An engine that does not say how many it runs gets one at a time."""
    if worker.waiting:
        return 0
    most = worker.description.running_max if worker.description else 0
    return max(0, (most or 1) - worker.load)


def _wait_ms(worker: Worker) -> int:
    """At least 1: a full worker with a queue that nobody has left yet makes wait all the same."""
    return max(1, worker.last.queue_ms if worker.last else 0)
