"""Metrics of an inference worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from libs.errors import PlatformError
from libs.telemetry import names
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry
from services.inference.domain.model import EngineLoad
from services.inference.domain.output.delta import Usage


class OutcomeLabels(NamedTuple):
    """`outcome` is "OK" or the error's reason."""

    outcome: str


class KindLabels(NamedTuple):
    """`kind` is "prompt", "cached" (of the prompt) or "output"."""

    kind: str


class BlockLabels(NamedTuple):
    """`state` is "told" (to watchers) or "left_out" (beyond kv_events.blocks_max, since the start)."""

    state: str


class StateLabels(NamedTuple):
    """`state` is "running" or "waiting"."""

    state: str


_OK = OutcomeLabels("OK")
_PROMPT, _CACHED, _OUTPUT = KindLabels("prompt"), KindLabels("cached"), KindLabels("output")


class InferenceMetrics:
    """See CallObserver."""

    def __init__(self, registry: Registry) -> None:
        self._calls = registry.counter("headrace_inference_calls_total", "Generate calls that ended.", OutcomeLabels)
        self._tokens = registry.counter("headrace_inference_tokens_total", "Tokens of ended calls.", KindLabels)
        self._ttft = registry.histogram(names.METRIC_TTFT, "Submission to the first token.", NoLabels)
        self._queue = registry.histogram(
            "headrace_inference_queue_seconds", "Wait in the engine's queue before the prefill.", NoLabels
        )
        self._requests = registry.gauge("headrace_inference_requests", "Choices in the engine.", StateLabels)
        self._kv_use = registry.gauge("headrace_inference_kv_use", "Share of the KV blocks in use, 0 to 1.", NoLabels)
        self._blocks = registry.gauge(
            "headrace_inference_cached_blocks", "Full KV blocks, as the engine's events tell.", BlockLabels
        )
        self._healthy = registry.gauge("headrace_inference_healthy", "1 while the engine produces.", NoLabels)

    def ended(self, usage: Usage, error: PlatformError | None) -> None:
        """See CallObserver."""
        self._calls.inc(OutcomeLabels(error.reason.value) if error else _OK)
        self._tokens.inc(_PROMPT, usage.prompt_tokens)
        if usage.cached_tokens:
            self._tokens.inc(_CACHED, usage.cached_tokens)
        self._tokens.inc(_OUTPUT, usage.completion_tokens)
        if usage.first_token_ms:
            self._ttft.observe(NO_LABELS, usage.first_token_ms / 1000)
            self._queue.observe(NO_LABELS, usage.queue_ms / 1000)

    def read_load(self, load: Callable[[], EngineLoad], healthy: Callable[[], bool]) -> None:
        """Reads the gauges at each scrape."""
        self._requests.read_from(StateLabels("running"), lambda: load().running)
        self._requests.read_from(StateLabels("waiting"), lambda: load().waiting)
        self._kv_use.read_from(NO_LABELS, lambda: load().kv_use)
        self._healthy.read_from(NO_LABELS, lambda: float(healthy()))

    def read_blocks(self, told: Callable[[], int], left_out: Callable[[], int]) -> None:
        """Reads what is known of the prefix cache at each scrape."""
        self._blocks.read_from(BlockLabels("told"), told)
        self._blocks.read_from(BlockLabels("left_out"), left_out)
