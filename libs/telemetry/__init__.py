"""Logs, traces and metrics of a service. `setup` in `main`, the rest anywhere."""

from libs.telemetry.logs import bind, get_logger
from libs.telemetry.setup import Telemetry, setup
from libs.telemetry.tracing import Span, extract, inject, tracer

__all__ = ["Span", "Telemetry", "bind", "extract", "get_logger", "inject", "setup", "tracer"]
