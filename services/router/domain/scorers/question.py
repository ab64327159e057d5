"""What scorers are asked: the cost of a prompt on each of these workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from libs.block_hash import Hashes
from services.router.domain.worker import Worker

NO_BLOCKS: Hashes = np.empty(0, np.uint64)


class Wanted(NamedTuple):
    """One prompt that needs a worker. `now` is `Clock.monotonic`.

    `tokens` 0 = not known. `blocks` are hashes of its full blocks (libs.block_hash). `key` is what its session, or who
    shares its prefix, is known by (scorers.affinity.placement_key), "" = nothing. `root` is the worker of the session
    that this one's agent was started by, "" = none or not known.
    """

    tokens: int
    now: float
    blocks: Hashes = NO_BLOCKS
    key: str = ""
    root: str = ""


class Question(NamedTuple):
    """`cached[i]`: tokens of the prompt that `workers[i]` has or is about to have; `shared`: that all of them have."""

    wanted: Wanted
    workers: Sequence[Worker]
    cached: Sequence[int]
    shared: int


# Tokens of work ahead of the first token, for each worker; empty = no difference.
Scorer = Callable[[Question], Sequence[float]]
