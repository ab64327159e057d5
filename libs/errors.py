"""One typed error that crosses every hop, and the one table of reasons.

The gRPC form is `google.rpc.Status` with `ErrorInfo` and `RetryInfo` (AIP-193); the HTTP form is OpenAI's error body.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import grpc

DOMAIN = "headrace"


class Reason(StrEnum):
    """Why a call failed; the value is `ErrorInfo.reason` on the wire (upper case, AIP-193)."""

    INVALID_REQUEST = "INVALID_REQUEST"
    CONTEXT_LENGTH_EXCEEDED = "CONTEXT_LENGTH_EXCEEDED"
    UNSUPPORTED_PARAMETER = "UNSUPPORTED_PARAMETER"
    UNSUPPORTED_CONTENT = "UNSUPPORTED_CONTENT"
    INVALID_SCHEMA = "INVALID_SCHEMA"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    INVALID_API_KEY = "INVALID_API_KEY"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    MODEL_NOT_ALLOWED = "MODEL_NOT_ALLOWED"
    MODEL_NOT_FOUND = "MODEL_NOT_FOUND"
    SESSION_NOT_FOUND = "SESSION_NOT_FOUND"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    CONFLICT = "CONFLICT"
    IDEMPOTENCY_MISMATCH = "IDEMPOTENCY_MISMATCH"
    REQUEST_QUARANTINED = "REQUEST_QUARANTINED"
    PRICE_UNKNOWN = "PRICE_UNKNOWN"
    MAX_COST_EXCEEDED = "MAX_COST_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    INSUFFICIENT_QUOTA = "INSUFFICIENT_QUOTA"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    OVERLOADED = "OVERLOADED"
    NO_WORKER = "NO_WORKER"
    WORKER_LOST = "WORKER_LOST"
    WRONG_DIGEST = "WRONG_DIGEST"
    DRAINING = "DRAINING"
    STORE_UNAVAILABLE = "STORE_UNAVAILABLE"
    ROUTER_UNAVAILABLE = "ROUTER_UNAVAILABLE"
    JOBS_UNAVAILABLE = "JOBS_UNAVAILABLE"
    UPSTREAM_ERROR = "UPSTREAM_ERROR"
    STREAM_INTERRUPTED = "STREAM_INTERRUPTED"
    SLOW_READER = "SLOW_READER"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    CANCELLED = "CANCELLED"
    ENGINE_DEAD = "ENGINE_DEAD"
    INTERNAL = "INTERNAL"


class Row(NamedTuple):
    """How one reason looks on every wire."""

    grpc: grpc.StatusCode
    http: int
    openai_type: str
    openai_code: str | None


_S = grpc.StatusCode
TABLE: dict[Reason, Row] = {
    Reason.INVALID_REQUEST: Row(_S.INVALID_ARGUMENT, 400, "invalid_request_error", None),
    Reason.CONTEXT_LENGTH_EXCEEDED: Row(_S.INVALID_ARGUMENT, 400, "invalid_request_error", "context_length_exceeded"),
    Reason.UNSUPPORTED_PARAMETER: Row(_S.INVALID_ARGUMENT, 400, "invalid_request_error", "unsupported_parameter"),
    Reason.UNSUPPORTED_CONTENT: Row(_S.INVALID_ARGUMENT, 400, "invalid_request_error", "unsupported_content"),
    Reason.INVALID_SCHEMA: Row(_S.INVALID_ARGUMENT, 400, "invalid_request_error", "invalid_schema"),
    Reason.PAYLOAD_TOO_LARGE: Row(_S.INVALID_ARGUMENT, 413, "invalid_request_error", "payload_too_large"),
    Reason.INVALID_API_KEY: Row(_S.UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key"),
    Reason.PERMISSION_DENIED: Row(_S.PERMISSION_DENIED, 403, "invalid_request_error", "permission_denied"),
    Reason.MODEL_NOT_ALLOWED: Row(_S.PERMISSION_DENIED, 403, "invalid_request_error", "model_not_allowed"),
    Reason.MODEL_NOT_FOUND: Row(_S.NOT_FOUND, 404, "invalid_request_error", "model_not_found"),
    Reason.SESSION_NOT_FOUND: Row(_S.NOT_FOUND, 404, "invalid_request_error", "session_not_found"),
    Reason.NOT_FOUND: Row(_S.NOT_FOUND, 404, "invalid_request_error", "not_found"),
    Reason.METHOD_NOT_ALLOWED: Row(_S.UNIMPLEMENTED, 405, "invalid_request_error", "method_not_allowed"),
    Reason.UNIMPLEMENTED: Row(_S.UNIMPLEMENTED, 501, "api_error", "not_implemented"),
    Reason.CONFLICT: Row(_S.ABORTED, 409, "invalid_request_error", "conflict"),
    Reason.IDEMPOTENCY_MISMATCH: Row(_S.FAILED_PRECONDITION, 422, "invalid_request_error", "idempotency_key_reused"),
    Reason.REQUEST_QUARANTINED: Row(_S.FAILED_PRECONDITION, 422, "invalid_request_error", "request_quarantined"),
    Reason.PRICE_UNKNOWN: Row(_S.FAILED_PRECONDITION, 403, "invalid_request_error", "price_unknown"),
    Reason.MAX_COST_EXCEEDED: Row(_S.FAILED_PRECONDITION, 400, "invalid_request_error", "max_cost_exceeded"),
    Reason.RATE_LIMITED: Row(_S.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "rate_limit_exceeded"),
    Reason.INSUFFICIENT_QUOTA: Row(_S.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "insufficient_quota"),
    Reason.BUDGET_EXCEEDED: Row(_S.RESOURCE_EXHAUSTED, 429, "insufficient_quota", "budget_exceeded"),
    Reason.OVERLOADED: Row(_S.RESOURCE_EXHAUSTED, 429, "rate_limit_error", "overloaded"),
    Reason.NO_WORKER: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "no_worker"),
    Reason.WORKER_LOST: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "worker_lost"),
    Reason.WRONG_DIGEST: Row(_S.FAILED_PRECONDITION, 503, "service_unavailable_error", "wrong_digest"),
    Reason.DRAINING: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "draining"),
    Reason.STORE_UNAVAILABLE: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "store_unavailable"),
    Reason.ROUTER_UNAVAILABLE: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "router_unavailable"),
    Reason.JOBS_UNAVAILABLE: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "jobs_unavailable"),
    Reason.UPSTREAM_ERROR: Row(_S.UNAVAILABLE, 502, "api_error", "upstream_error"),
    Reason.STREAM_INTERRUPTED: Row(_S.ABORTED, 503, "api_error", "stream_interrupted"),
    Reason.SLOW_READER: Row(_S.RESOURCE_EXHAUSTED, 503, "api_error", "slow_reader"),
    Reason.DEADLINE_EXCEEDED: Row(_S.DEADLINE_EXCEEDED, 504, "api_error", "deadline_exceeded"),
    Reason.CANCELLED: Row(_S.CANCELLED, 499, "api_error", "cancelled"),
    Reason.ENGINE_DEAD: Row(_S.UNAVAILABLE, 503, "service_unavailable_error", "engine_dead"),
    Reason.INTERNAL: Row(_S.INTERNAL, 500, "api_error", "internal_error"),
}


@dataclass(eq=False)
class PlatformError(Exception):
    """The error that every layer raises and every hop carries.

    `message` says what happened, why, and what to do next; it never holds prompt text or secrets.
    `started` is False only when it is certain that no work began (`not_started` on the wire): then another
    candidate may be tried without counting as a retry. `param` names the request field at fault. `headers` go with
    the reply to a client (names in lower case); they cross no other hop.
    """

    reason: Reason
    message: str
    retry_after_seconds: float | None = None
    started: bool = True
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__init__(self.message)

    @property
    def status(self) -> grpc.StatusCode:
        """GRPC status of the reason."""
        return TABLE[self.reason].grpc

    @property
    def http_status(self) -> int:
        """HTTP status of the reason."""
        return TABLE[self.reason].http

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"
