"""The settings that every service has, and the base classes of those it adds."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from libs.settings.secret_file import read_secret_file


class SettingsGroup(BaseModel):
    """Base of nested groups ("rpc", "valkey", …): frozen, unknown keys refused, defaults checked too."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class LogSettings(SettingsGroup):
    """How the service logs."""

    # console for people, json (one object per line) for collectors.
    format: Literal["console", "json"] = "console"
    # debug may cost throughput under load; error hides failed calls of clients.
    level: Literal["debug", "info", "warning", "error"] = "info"
    # A line for each RPC that went well too (about 10 µs of CPU each); failed ones are logged always.
    access: bool = False
    # Lines waiting to be written; beyond it lines are dropped and counted, because logging must not stall the loop.
    queue_lines_max: int = Field(default=10_000, ge=100)


class TraceSettings(SettingsGroup):
    """Where spans go."""

    # OTLP/gRPC collector, such as "http://127.0.0.1:4317"; https:// means TLS. Empty = off, which costs nothing.
    otlp_endpoint: str = ""
    # Share of new traces that is kept; a trace that a caller began keeps the caller's choice. 1 = all.
    sample_ratio: float = Field(default=1.0, ge=0.0, le=1.0)
    # Spans waiting for the exporter; beyond it spans are dropped.
    queue_spans_max: int = Field(default=8192, ge=64)


class MetricsSettings(SettingsGroup):
    """The Prometheus endpoint of a service without an HTTP port of its own."""

    host: str = "127.0.0.1"
    # 0 = off.
    port: int = Field(default=0, ge=0, le=65535)


class DrainSettings(SettingsGroup):
    """How long each step of a stop may take. Together they must fit the platform's kill timeout (Kubernetes: 30 s)."""

    # Waited after NOT_SERVING until load balancers have dropped this endpoint; 0 on a laptop, about 5 on Kubernetes.
    endpoints_seconds: float = Field(default=0.0, ge=0.0)
    # For running streams; what is left is handed over or cut. 0 cuts at once.
    grace_seconds: float = Field(default=20.0, ge=0.0)
    # For the adapters to close after that.
    close_seconds: float = Field(default=5.0, gt=0.0)


class ServiceSettings(BaseSettings):
    """Base of a service's settings. A subclass sets `service` and adds its fields and groups.

    Constructing it reads neither files nor the environment: `load` does that once, in `main`.
    """

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", validate_default=True, env_nested_delimiter="__", env_ignore_empty=False
    )

    # Names the environment variables: "gateway" reads HEADRACE_GATEWAY_….
    service: ClassVar[str] = "service"

    # Everything that a local installation writes: tokens, models, stores. Relative to the working directory.
    state_dir: Path = Path(".headrace")
    # The token that internal RPCs carry; empty = <state_dir>/internal.token. `headrace up` creates it, mode 600.
    internal_token_file: Path | None = None
    # The process that this one must not outlive, 0 = none. `headrace up` passes its own.
    parent_pid: int = Field(default=0, ge=0)
    log: LogSettings = LogSettings()
    trace: TraceSettings = TraceSettings()
    metrics: MetricsSettings = MetricsSettings()
    drain: DrainSettings = DrainSettings()

    @classmethod
    def env_prefix(cls) -> str:
        """The start of every environment variable of this service."""
        return f"HEADRACE_{cls.service.upper()}_"

    @property
    def token_path(self) -> Path:
        """Where the internal token is."""
        return self.internal_token_file or self.state_dir / "internal.token"

    def internal_token(self) -> str:
        """The internal token; raises SettingsError when the file is missing, empty or readable by everyone."""
        return read_secret_file(self.token_path, fix="start the platform with `headrace up`, which creates it")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_sources: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments alone: `load` merges the sources itself, so that it can say where a value came from."""
        return (init_settings,)
