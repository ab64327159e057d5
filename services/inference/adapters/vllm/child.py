"""What runs in vLLM's own processes before vLLM does.

They die with the worker: EngineCore when the worker dies, and the compute processes when EngineCore dies (left to
itself, vLLM 0.32 leaves a compute process behind that holds gigabytes). They wait for each other asleep where they
share cores. And EngineCore's grammars can be resumed.
"""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1
_BUSY_SECONDS = 1.0
_NAP_MS = 1
RESUMED_ARGUMENT = "headrace_resumed"


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when its parent's thread ends (prctl(2), PR_SET_PDEATHSIG).

    A parent that died before the call is seen by its process id: then this process exits at once.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


class DyingEntryPoint:
    """An entry point for multiprocessing that binds the new process to this one while it is being unpickled.

    Before the entry point is called, the new process imports vLLM, which takes ten seconds and more: a worker that is
    killed in that time must not leave it behind. `run` is a function of a module.
    """

    def __init__(self, run: Callable[..., None]) -> None:
        self._run = run

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Unpickles to `run`, in a process that dies with the one that pickled."""
        return _bound, (self._run, os.getpid())


def _bound(run: Callable[..., None], parent: int) -> Callable[..., None]:
    die_with_parent(parent)
    return run


def feed_resumed_tokens(manager: Any) -> None:
    """Patches vLLM's StructuredOutputManager `manager` (the class): a new grammar first takes the resumed tokens.

    vLLM 0.32 advances a grammar on new tokens only; a continued answer would start its JSON again. A grammar that
    does not take them fails its own request, as one that does not compile.
    """
    create = manager._create_grammar

    def create_and_feed(self: Any, request: Any) -> Any:
        grammar = create(self, request)
        resumed = (request.sampling_params.extra_args or {}).get(RESUMED_ARGUMENT, [])
        if resumed and not grammar.accept_tokens(request.request_id, resumed):
            raise ValueError("the resumed tokens do not fit the grammar")
        return grammar

    manager._create_grammar = create_and_feed


def wait_asleep(condition: Any) -> None:
    """Patches vLLM's SpinCondition `condition` (the class): readers of the queue between its processes do not spin.

    By default they spin for a second after each message. On a GPU that saves microseconds of a step; on a CPU the
    waiting process takes a whole core from the computing one (measured: 0.98 of a core in EngineCore while it waits).
    The notification that ends the sleep is lost when it follows another within about a millisecond (vLLM sends it on
    a socket that holds one), so that in this second no sleep is longer than that; vLLM alone looks again after 5 s.
    """
    create, wait = condition.__init__, condition.wait

    def create_asleep(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        self.busy_loop_s = 0.0

    def wait_briefly(self: Any, timeout_ms: int | None = None) -> None:
        recent = time.monotonic() < self.last_read + _BUSY_SECONDS
        wait(self, _NAP_MS if recent else timeout_ms)

    condition.__init__, condition.wait = create_asleep, wait_briefly


def _prepare() -> None:
    from vllm.distributed.device_communicators.shm_broadcast import SpinCondition
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        wait_asleep(SpinCondition)


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """Entry point of the engine's process, in place of EngineCoreProc.run_engine_core."""
    _prepare()
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.executor.multiproc_executor import WorkerProc
    from vllm.v1.structured_output import StructuredOutputManager

    feed_resumed_tokens(StructuredOutputManager)
    WorkerProc.worker_main = DyingEntryPoint(run_compute)
    EngineCoreProc.run_engine_core(*args, **kwargs)


def run_compute(*args: Any, **kwargs: Any) -> None:
    """Entry point of a compute process, in place of WorkerProc.worker_main."""
    _prepare()
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main(*args, **kwargs)
