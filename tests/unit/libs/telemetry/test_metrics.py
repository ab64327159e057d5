from typing import NamedTuple

import pytest

from libs.telemetry import instruments
from libs.telemetry.metrics import NO_LABELS, NoLabels, Registry


class Labels(NamedTuple):
    model: str
    outcome: str


@pytest.fixture
def registry():
    return Registry()


def value(registry, name, **labels):
    return registry.collector.get_sample_value(name, labels)


def test_a_counter_counts_by_its_labels(registry):
    calls = registry.counter("headrace_calls_total", "Calls.", Labels)
    calls.inc(Labels("small", "ok"))
    calls.inc(Labels("small", "ok"), 2)
    calls.inc(Labels("large", "ok"))
    assert value(registry, "headrace_calls_total", model="small", outcome="ok") == 3
    assert value(registry, "headrace_calls_total", model="large", outcome="ok") == 1


def test_a_gauge_is_set_moved_or_read_at_the_scrape(registry):
    gauge = registry.gauge("headrace_open", "Open.", NoLabels)
    gauge.set(NO_LABELS, 5)
    gauge.inc(NO_LABELS, -2)
    assert value(registry, "headrace_open") == 3
    gauge.read_from(NO_LABELS, lambda: 42)
    assert value(registry, "headrace_open") == 42


def test_a_histogram_fills_its_buckets(registry):
    seconds = registry.histogram("headrace_seconds", "Time.", NoLabels, (1.0, 2.0))
    seconds.observe(NO_LABELS, 1.5)
    assert value(registry, "headrace_seconds_bucket", le="1.0") == 0
    assert value(registry, "headrace_seconds_bucket", le="2.0") == 1


def test_a_name_is_declared_once(registry):
    registry.counter("headrace_calls_total", "Calls.", Labels)
    with pytest.raises(ValueError, match="Duplicated"):
        registry.counter("headrace_calls_total", "Calls.", Labels)


def test_label_sets_past_the_bound_are_folded_and_counted(registry, monkeypatch):
    monkeypatch.setattr(instruments, "SERIES_MAX", 3)
    calls = registry.counter("headrace_calls_total", "Calls.", Labels)
    for n in range(10):
        calls.inc(Labels(f"m{n}", "ok"))
    assert value(registry, "headrace_calls_total", model="m2", outcome="ok") == 1
    assert value(registry, "headrace_calls_total", model="m3", outcome="ok") is None
    assert value(registry, "headrace_calls_total", model="other", outcome="other") == 7
    assert value(registry, "headrace_metric_series_folded_total", metric="headrace_calls_total") == 7


def test_the_text_form_is_what_prometheus_reads(registry):
    registry.counter("headrace_calls_total", "Calls.", Labels).inc(Labels("small", "ok"))
    kind, body = registry.render()
    assert kind.startswith("text/plain")
    assert b'headrace_calls_total{model="small",outcome="ok"} 1.0' in body
