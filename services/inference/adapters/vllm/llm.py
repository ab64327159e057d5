"""The one module that touches vLLM's engine. Everything it uses of vLLM 0.32 that is not public is used here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from transformers import AutoTokenizer
from vllm.config.kv_events import KVEventsConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.inputs.engine import tokens_input
from vllm.lora.request import LoRARequest
from vllm.platforms import current_platform
from vllm.sampling_params import RequestOutputKind, SamplingParams, StructuredOutputsParams
from vllm.v1.engine import EngineCoreRequest, EngineCoreRequestType
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.core import EngineCoreProc
from vllm.v1.metrics.prometheus import unregister_vllm_metrics

from libs.errors import PlatformError, Reason
from services.inference.adapters.vllm import child
from services.inference.adapters.vllm.arrived import Arrived
from services.inference.adapters.vllm.capacity import KvFigures, token_bytes
from services.inference.adapters.vllm.kv_stream import BATCHES_KEPT, KvEndpoints
from services.inference.adapters.vllm.parsers import VllmParsers
from services.inference.adapters.vllm.sampling import Limits, refuse
from services.inference.adapters.vllm.sandbox import GrammarSandbox
from services.inference.adapters.vllm.settings import GIB, VllmSettings
from services.inference.adapters.vllm.token_table import TokenTable
from services.inference.domain.output.parser import OutputParsers
from services.inference.domain.request import Guided

_TASKS = ("generate",)


class _Llm(AsyncLLM):  # type: ignore[misc] # vLLM is untyped here
    """AsyncLLM without its output loop: one task per request and step is what this adapter is built to avoid."""

    def _run_output_handler(self) -> None:
        """Outputs are pulled by Llm.outputs."""


@contextmanager
def _our_entry_point() -> Iterator[None]:
    """Has vLLM start `child.run_engine_core`; the process pickles it by name, so it must be importable there."""
    with mock.patch.object(EngineCoreProc, "run_engine_core", child.DyingEntryPoint(child.run_engine_core)):
        yield


def window_of(model_path: str) -> int:
    """The context window that the model's config.json states. Raises PlatformError when it states none."""
    try:
        return int(json.loads((Path(model_path) / "config.json").read_text())["max_position_embeddings"])
    except (OSError, KeyError, ValueError) as error:
        raise PlatformError(
            Reason.INVALID_REQUEST,
            f"{model_path} has no config.json with max_position_embeddings ({type(error).__name__}): set"
            " vllm.window_tokens, or fix model.path",
        ) from error


class Llm:
    """See Backend."""

    def __init__(
        self, settings: VllmSettings, model_path: str, sandbox: GrammarSandbox, kv: KvEndpoints | None
    ) -> None:
        """Starts the engine's processes and loads the model; blocks for half a minute. Owns `sandbox` from then on.

        The calling thread must live as long as the engine: the engine dies with it.
        """
        window = settings.window_tokens or window_of(model_path)
        tokenizer = AutoTokenizer.from_pretrained(model_path)
        # Before the engine, so that a wrong parser name fails in seconds.
        self.parsers: OutputParsers = VllmParsers(
            tokenizer, tool_parser=settings.tool_parser, reasoning_parser=settings.reasoning_parser
        )
        self.token_bytes = TokenTable(tokenizer).bytes_of
        self.is_cpu = bool(current_platform.is_cpu())
        self.chunked = settings.chunked_prefill if settings.chunked_prefill is not None else not self.is_cpu
        args = AsyncEngineArgs(**settings.for_vllm(model_path, window, chunked_prefill=self.chunked))
        args.kv_events_config = _kv_events(kv)
        with _our_entry_point():
            self._llm = _Llm.from_engine_args(args)
        unregister_vllm_metrics()  # the worker has its own metrics, vLLM's would stay at zero beside them
        self._core = self._llm.engine_core
        self._arrived = Arrived(self._core)
        self._config = self._llm.vllm_config
        self._inputs = self._llm.input_processor
        # Grammars are tried out in a sandbox before they come here; vLLM would parse them again on the event loop.
        self._inputs.structured_outputs_config = None
        self._loras = {
            name: LoRARequest(name, number, path)
            for number, (name, path) in enumerate(settings.engine_args.lora_modules.items(), start=1)
        }
        self._kv_bytes = int(settings.kv_cache_gib * GIB) * settings.engine_args.world_size
        self.sandbox = sandbox
        model = self._llm.model_config
        self.defaults: Mapping[str, Any] = model.get_diff_sampling_param()
        self.limits = Limits(model.get_vocab_size(), model.max_model_len, settings.logprobs_max)
        self.figures = self._figures()

    def _figures(self) -> KvFigures:
        cache, model = self._config.cache_config, self._llm.model_config
        plain = cache.cache_dtype == "auto" and not model.use_mla and not model.get_sliding_window()
        each = token_bytes(
            model.get_total_num_hidden_layers(),
            model.get_total_num_kv_heads(),
            model.get_head_size(),
            model.dtype.itemsize,
        )
        return KvFigures(cache.num_gpu_blocks, cache.block_size, self._kv_bytes, each if plain else None)

    def add(self, engine_id: str, prompt: list[int], arguments: dict[str, Any], **options: Any) -> None:
        """See Backend. INVALID_REQUEST for what vLLM itself refuses, ENGINE_DEAD when there is no engine."""
        try:
            request = self._request(engine_id, prompt, arguments, **options)
        except (ValueError, TypeError, OverflowError) as error:  # vLLM's own validation, behind ours
            raise refuse(f"vLLM refuses the request: {error}", "sampling") from error
        self._send(EngineCoreRequestType.ADD, request)

    def _request(
        self,
        engine_id: str,
        prompt: list[int],
        arguments: dict[str, Any],
        *,
        guided: Guided | None,
        resumed: list[int],
        cache_salt: str,
        adapter: str,
    ) -> EngineCoreRequest:
        params = SamplingParams(output_kind=RequestOutputKind.DELTA, **arguments)
        if guided:
            params.structured_outputs = _structured(guided)
            params.extra_args = {child.RESUMED_ARGUMENT: resumed} if resumed else None
        request = self._inputs.process_inputs(
            engine_id,
            tokens_input(prompt, cache_salt=cache_salt or None),
            params,
            supported_tasks=_TASKS,
            lora_request=self._adapter(adapter),
        )
        request.external_req_id = engine_id
        return request

    def _adapter(self, name: str) -> LoRARequest | None:
        if name and name not in self._loras:
            raise refuse(f"this worker has no adapter {name!r}", "model", Reason.MODEL_NOT_FOUND)
        return self._loras.get(name)

    def abort(self, engine_ids: list[str]) -> None:
        """See Backend. The blocks are free at the end of the running step."""
        if not self._core.resources.engine_dead:
            self._send(EngineCoreRequestType.ABORT, engine_ids)

    def _send(self, kind: EngineCoreRequestType, payload: Any) -> None:
        try:
            sent = self._core._send_input(kind, payload)
        except Exception as error:  # the engine is gone, in whichever way vLLM says so
            raise PlatformError(Reason.ENGINE_DEAD, "the engine has stopped: the worker restarts") from error
        # zmq sends at once when it can; the future only reports. The output loop is what notices a dead engine.
        sent.add_done_callback(lambda future: future.cancelled() or future.exception())

    async def outputs(self) -> Sequence[Any]:
        """See Backend."""
        return await self._arrived.take()

    def close(self) -> None:
        """See Backend."""
        self.sandbox.close()
        resources = self._core.resources
        reader = resources.output_queue_task
        self._llm.shutdown(timeout=1.0)
        if reader is not None and not reader.get_loop().is_closed():
            # vLLM leaves the zmq context open; its sockets close on the loop, in a call queued just before.
            reader.get_loop().call_soon_threadsafe(resources.ctx.destroy, 0)


def _kv_events(kv: KvEndpoints | None) -> KVEventsConfig | None:
    """Always with addresses of ours: vLLM's default is a TCP port on all interfaces."""
    if kv is None:
        return None
    return KVEventsConfig(
        enable_kv_cache_events=True,
        publisher="zmq",
        endpoint=kv.events,
        replay_endpoint=kv.repeats,
        buffer_steps=BATCHES_KEPT,
    )


def _structured(guided: Guided) -> StructuredOutputsParams:
    if guided.json_schema is not None:
        params = StructuredOutputsParams(json=guided.json_schema)
    elif guided.regex is not None:
        params = StructuredOutputsParams(regex=guided.regex)
    else:
        params = StructuredOutputsParams(json_object=True)
    params._backend = "xgrammar"
    return params
