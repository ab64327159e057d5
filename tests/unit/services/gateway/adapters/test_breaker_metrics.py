"""What a scrape sees of breakers."""

from __future__ import annotations

from libs.telemetry.metrics import Registry
from services.gateway.adapters.breaker_metrics import BreakerMetrics


def test_states_transitions_and_workers_left_out_are_counted():
    registry = Registry()
    metrics = BreakerMetrics(registry)
    metrics.changed("m", "w1", "open", "connect")
    metrics.changed("m", "w2", "open", "silent")
    metrics.changed("m", "w2", "half-open", "silent")
    metrics.skipped("breaker-open")
    metrics.stalled("silent")
    text = registry.render()[1].decode()
    for line in (
        'headrace_gateway_breaker_state{model="m",worker="w1"} 2.0',
        'headrace_gateway_breaker_state{model="m",worker="w2"} 1.0',
        'headrace_gateway_breaker_transitions_total{cause="silent",model="m",state="half-open"} 1.0',
        'headrace_gateway_candidates_skipped_total{why="breaker-open"} 1.0',
        'headrace_gateway_attempts_stalled_total{cause="silent"} 1.0',
    ):
        assert line in text
    metrics.forgotten("m", "w1")
    assert 'breaker_state{model="m",worker="w1"} 0.0' in registry.render()[1].decode()
