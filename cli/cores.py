"""Which cores the workers' engines get."""

from __future__ import annotations

import os
from collections.abc import Sequence

from cli.config import Worker


def usable_cores() -> list[int]:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def share_cores(workers: Sequence[Worker], cores: Sequence[int]) -> list[str]:
    """The cores of each worker, "" = not bound. A vLLM worker without its own setting takes the next core, one each:
    two engines left to themselves bind to the same one. With more workers than cores they share, in turn.
    """
    shared: list[str] = []
    turn = 0
    for worker in workers:
        if worker.cores or worker.engine != "vllm":
            shared.append(worker.cores)
        else:
            shared.append(str(cores[turn % len(cores)]))
            turn += 1
    return shared
