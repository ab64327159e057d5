"""What runs in vLLM's EngineCore process before vLLM does: it dies with the worker, and grammars can be resumed."""

from __future__ import annotations

import ctypes
import os
import signal
from typing import Any

_PR_SET_PDEATHSIG = 1
PARENT_VARIABLE = "HEADRACE_ENGINE_PARENT"
RESUMED_ARGUMENT = "headrace_resumed"


def die_with_parent(parent: int) -> None:
    """Has the kernel kill this process when its parent's thread ends (prctl(2), PR_SET_PDEATHSIG).

    A parent that died before the call is seen by its process id: then this process exits at once.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:
        os._exit(1)


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
    """Entry point of the process, in place of EngineCoreProc.run_engine_core."""
    die_with_parent(int(os.environ[PARENT_VARIABLE]))
    from vllm.v1.engine.core import EngineCoreProc
    from vllm.v1.structured_output import StructuredOutputManager

    feed_resumed_tokens(StructuredOutputManager)
    EngineCoreProc.run_engine_core(*args, **kwargs)
