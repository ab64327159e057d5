"""What runs in vLLM's own processes before vLLM does.

They die with the worker: EngineCore when the worker dies, and the compute processes when EngineCore dies (left to
itself, vLLM 0.32 leaves a compute process behind that holds gigabytes). And EngineCore's grammars can be resumed.
"""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from typing import Any

_PR_SET_PDEATHSIG = 1
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


def run_engine_core(*args: Any, **kwargs: Any) -> None:
    """Entry point of the engine's process, in place of EngineCoreProc.run_engine_core."""
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.executor.multiproc_executor import WorkerProc
    from vllm.v1.structured_output import StructuredOutputManager

    feed_resumed_tokens(StructuredOutputManager)
    WorkerProc.worker_main = DyingEntryPoint(run_compute)
    EngineCoreProc.run_engine_core(*args, **kwargs)


def run_compute(*args: Any, **kwargs: Any) -> None:
    """Entry point of a compute process, in place of WorkerProc.worker_main."""
    from vllm.v1.executor.multiproc_executor import WorkerProc

    WorkerProc.worker_main(*args, **kwargs)
