"""/metrics for services without an HTTP port of their own."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import start_http_server

from libs.errors import PlatformError, Reason
from libs.settings import MetricsSettings
from libs.telemetry.metrics import Registry


def serve_metrics(registry: Registry, settings: MetricsSettings) -> Callable[[], None]:
    """Serves until the returned function is called. A thread of its own: a busy event loop is when metrics matter."""
    try:
        server, thread = start_http_server(settings.port, settings.host, registry.collector)
    except OSError as error:
        message = f"cannot serve metrics on {settings.host}:{settings.port} ({error}); set --metrics.port, 0 = off"
        raise PlatformError(Reason.INVALID_REQUEST, message) from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return close
