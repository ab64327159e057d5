"""Span, duration and access log of every served RPC, the same on stock gRPC and on the trunk (see `CallHook`)."""

from __future__ import annotations

from typing import Any, NamedTuple

from libs.errors import PlatformError
from libs.rpc.api import CallInfo
from libs.telemetry import names
from libs.telemetry.logs import get_logger
from libs.telemetry.metrics import Registry
from libs.telemetry.tracing import Span, tracer


class RpcLabels(NamedTuple):
    """`reason` is the error's reason, "OK" without one."""

    method: str
    reason: str


class MethodLabels(NamedTuple):
    """The method's name without its package."""

    method: str


class RpcTelemetry:
    """Watches calls. `access` logs successful ones too; failed ones are logged always."""

    def __init__(self, registry: Registry, *, access: bool) -> None:
        self._access = access
        self._log = get_logger("rpc")
        self._seconds = registry.histogram(
            names.METRIC_RPC_DURATION, "Served RPCs from arrival to end, by their end.", RpcLabels
        )
        self._open = registry.gauge(names.METRIC_RPC_OPEN, "RPCs being served.", MethodLabels)

    def started(self, info: CallInfo) -> Span | None:
        """Begins the call's span as a child of the caller's, current until `finished`."""
        self._open.inc(_method(info))
        if not tracer.enabled:
            return None
        attributes = {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: info.method, names.RPC_PEER: info.identity}
        if request_id := info.metadata.get("x-request-id"):
            attributes[names.REQUEST_ID] = request_id
        span = tracer.start(info.method.lstrip("/"), kind="server", parent=info.metadata, attributes=attributes)
        return span.__enter__()

    def finished(self, mark: Any, info: CallInfo, error: PlatformError | None, seconds: float) -> None:
        """Ends it."""
        method = _method(info)
        self._open.inc(method, -1)
        self._seconds.observe(RpcLabels(method.method, error.reason.value if error else "OK"), seconds)
        if error is not None or self._access:
            self._log_call(info, error, seconds)
        if mark is not None:
            mark.__exit__(type(error) if error else None, error, None)

    def _log_call(self, info: CallInfo, error: PlatformError | None, seconds: float) -> None:
        facts = {
            "method": info.method,
            "peer": info.identity,
            "request_id": info.metadata.get("x-request-id", ""),
            "duration_ms": round(seconds * 1000, 3),
        }
        if error is None:
            self._log.info("rpc", **facts)
        else:
            self._log.warning("rpc failed", reason=error.reason.value, started=error.started, **facts)


_METHODS: dict[str, MethodLabels] = {}


def _method(info: CallInfo) -> MethodLabels:
    """Labels by path; only paths that have a handler come here, so this stays small."""
    found = _METHODS.get(info.method)
    if found is None:
        found = _METHODS[info.method] = MethodLabels(info.method.rsplit("/", 1)[-1])
    return found
