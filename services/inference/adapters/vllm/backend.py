"""What VllmEngine needs of a running vLLM; tests give it a scripted one."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.inference.adapters.vllm.capacity import KvFigures
from services.inference.adapters.vllm.kv_stream import KvEndpoints
from services.inference.adapters.vllm.sampling import Limits
from services.inference.adapters.vllm.settings import VllmSettings
from services.inference.domain.output.parser import OutputParsers
from services.inference.domain.request import Guided


class Backend(Protocol):
    """A running engine. Besides the facts: five methods, of which only `close` blocks."""

    limits: Limits
    figures: KvFigures
    sandbox: Any  # a Sandbox; a mutable attribute of a Protocol cannot be a narrower class
    defaults: Mapping[str, Any]
    parsers: OutputParsers
    is_cpu: bool
    chunked: bool

    def add(
        self,
        engine_id: str,
        prompt: list[int],
        arguments: dict[str, Any],
        *,
        guided: Guided | None,
        resumed: list[int],
        cache_salt: str,
        adapter: str,
    ) -> None:
        """Sends a request to the engine in this tick. Raises PlatformError."""
        ...

    def abort(self, engine_ids: list[str]) -> None:
        """Drops requests; unknown ones do nothing, nor does a dead engine."""
        ...

    async def outputs(self) -> Sequence[Any]:
        """All engine steps (vLLM's EngineCoreOutputs) that are here, waiting for the first. Raises when the engine has
        died.
        """
        ...

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for."""
        ...

    def close(self) -> None:
        """Stops the engine's processes; blocks up to a few seconds."""
        ...


def build(settings: VllmSettings, model_path: str, kv: KvEndpoints | None = None) -> Backend:
    """Imports vLLM, forks the grammar sandbox, starts the engine, which tells its KV events at `kv`.

    Blocks half a minute; the thread must stay alive.
    """
    from functools import partial

    from services.inference.adapters.vllm.compiler import prepare
    from services.inference.adapters.vllm.llm import Llm
    from services.inference.adapters.vllm.sandbox import GrammarSandbox

    _settle_memory()
    sandbox = GrammarSandbox(partial(prepare, model_path), settings.grammar_seconds_max)
    try:
        llm = Llm(settings, model_path, sandbox, kv)
    except BaseException:
        sandbox.close()
        raise
    _settle_memory()
    return llm


def _settle_memory() -> None:
    """Takes what is loaded out of the garbage collector's sight.

    vLLM and torch are 660,000 objects that stay: one full collection stops all streams for half a second, and writes
    to every page that the grammar sandbox shares.
    """
    gc.collect()
    gc.freeze()
