"""Settings of a service's RPC port."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class RpcServerSettings(BaseModel):
    """One port that serves stock gRPC and trunks. `token` is set by the composition root, never from a flag."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Loopback unless told otherwise.
    host: str = "127.0.0.1"
    # 0 = any free port.
    port: int = Field(default=0, ge=0, le=65535)
    # Where trunks move to a plain connection, which costs a third of a gRPC stream; 0 = any free port, to be fixed
    # where a firewall stands between the services. None keeps them on their stream, and so does a port out of reach.
    # Of no effect on a public port, which takes no trunks.
    trunk_port: int | None = Field(default=0, ge=0, le=65535)
    # Lets grpcurl list methods; off on public ports unless asked for.
    reflection: bool = False
    # The design's receive limit; larger messages fail their call alone.
    message_bytes_max: int = Field(default=8 * 1024 * 1024, ge=1024)
    metadata_bytes_max: int = Field(default=16 * 1024, ge=1024)
    # Calls at once on one trunk or port; beyond it OVERLOADED, not started.
    calls_max: int = Field(default=4096, ge=1)
    # Pings on idle connections, so that a vanished peer is noticed.
    keepalive_seconds: float = Field(default=10.0, gt=0)
    # Taken off a caller's deadline: an answer that cannot reach the caller in time is not worth starting.
    deadline_margin_seconds: float = Field(default=0.005, ge=0)
    # Public ports accept calls without a deadline and give them this one.
    deadline_default_seconds: float | None = None


def channel_options(message_bytes_max: int, metadata_bytes_max: int, keepalive_seconds: float) -> list[tuple[str, int]]:
    """Options of gRPC core that both sides share; retries inside gRPC are off (retries are the platform's)."""
    return [
        ("grpc.max_receive_message_length", message_bytes_max),
        ("grpc.max_send_message_length", message_bytes_max),
        ("grpc.max_metadata_size", metadata_bytes_max),
        ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 5000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", int(keepalive_seconds * 500)),
        ("grpc.enable_retries", 0),
        ("grpc.so_reuseport", 0),
    ]
