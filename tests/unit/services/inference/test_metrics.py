from __future__ import annotations

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from services.inference.domain.model import EngineLoad
from services.inference.domain.output.delta import Usage
from services.inference.metrics import InferenceMetrics


def test_calls_tokens_and_load_are_counted():
    registry = Registry()
    metrics = InferenceMetrics(registry)
    metrics.ended(Usage(10, 4, 8, 0, 5.0, 20.0), None)
    metrics.ended(Usage(10, 1, 0), PlatformError(Reason.CANCELLED, "gone"))
    metrics.read_load(lambda: EngineLoad(3, 2, 0.25, healthy=True), lambda: True)
    text = registry.render()[1].decode()
    for line in (
        'headrace_inference_calls_total{outcome="OK"} 1.0',
        'headrace_inference_calls_total{outcome="CANCELLED"} 1.0',
        'headrace_inference_tokens_total{kind="prompt"} 20.0',
        'headrace_inference_tokens_total{kind="cached"} 8.0',
        'headrace_inference_tokens_total{kind="output"} 5.0',
        "gen_ai_server_time_to_first_token_seconds_count 1.0",
        'headrace_inference_requests{state="running"} 3.0',
        'headrace_inference_requests{state="waiting"} 2.0',
        "headrace_inference_kv_use 0.25",
        "headrace_inference_healthy 1.0",
    ):
        assert line in text
