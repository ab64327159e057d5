from __future__ import annotations

from libs.telemetry.metrics import Registry
from services.gateway.adapters.call_metrics import CallMetrics
from services.gateway.domain.attempts import Outcome, PastAttempt
from services.gateway.domain.record import CallRecord


def rendered(*records):
    registry = Registry()
    metrics = CallMetrics(registry)
    for record in records:
        metrics.ended(record)
    return registry.render()[1].decode()


def test_an_answer_is_counted_by_model_and_kind():
    record = CallRecord("r", "t", "m", started_at=1.0, first_delta_at=1.5, resumes=1, stale_deltas=2)
    record.prompt_tokens, record.cached_tokens, record.completion_tokens, record.reprefill_tokens = 10, 8, 5, 3
    record.past = [PastAttempt("w", "a", "b", Outcome.DEATH, "WORKER_LOST")]
    text = rendered(record)
    for kind, tokens in (("prompt", 10), ("cached", 8), ("completion", 5), ("reprefill", 3)):
        assert f'gen_ai_client_token_usage_total{{kind="{kind}",model="m"}} {tokens}.0' in text
    assert 'gen_ai_server_time_to_first_token_seconds_sum{model="m"} 0.5' in text
    assert 'headrace_gateway_attempts_ended_total{outcome="death",reason="WORKER_LOST"} 1.0' in text
    assert "headrace_gateway_resumes_total 1.0" in text
    assert "headrace_gateway_stale_deltas_total 2.0" in text


def test_a_model_that_a_client_made_up_is_no_label():
    assert "made-up" not in rendered(CallRecord("r", "t", "made-up", error="MODEL_NOT_FOUND"))
