import io
import socket
import urllib.request

import pytest

from libs.errors import PlatformError
from libs.settings import MetricsSettings, ServiceSettings, TraceSettings
from libs.telemetry import setup, tracer
from libs.testing.otlp import Collector


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_metrics_are_served_until_the_end():
    port = free_port()
    telemetry = setup(ServiceSettings(metrics=MetricsSettings(port=port)), "demo", "demo-0", stream=io.StringIO())
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert b'headrace_process_info{instance="demo-0",service="demo"} 1.0' in answer.read()
    telemetry.close()
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics")


def test_a_taken_metrics_port_is_told_with_the_fix():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServiceSettings(metrics=MetricsSettings(port=taken.getsockname()[1]))
        with pytest.raises(PlatformError, match=r"--metrics\.port"):
            setup(settings, "demo", stream=io.StringIO())


def test_spans_reach_a_real_collector_at_the_end():
    with Collector() as collector:
        settings = ServiceSettings(trace=TraceSettings(otlp_endpoint=collector.endpoint))
        telemetry = setup(settings, "demo", "demo-0", stream=io.StringIO())
        with tracer.span("work"):
            pass
        telemetry.close()
        assert [(span.service, span.name) for span in collector.spans] == [("headrace-demo", "work")]
    assert not tracer.enabled


def test_without_an_endpoint_tracing_is_off():
    telemetry = setup(ServiceSettings(), "demo", stream=io.StringIO())
    assert not tracer.enabled
    telemetry.close()
