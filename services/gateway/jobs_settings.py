"""Settings of the gateway that are about jobs."""

from __future__ import annotations

from pydantic import Field

from libs.rpc.dial import Transport
from libs.settings import SettingsGroup


class JobsEdgeSettings(SettingsGroup):
    """How the jobs service is reached, and what is taken for it."""

    # host:port of its replicas; all are used. Empty: there is none, and /v1/jobs, /v1/files and /v1/batches say so.
    addresses: tuple[str, ...] = ()
    # "grpc" goes through proxies that know gRPC only; the trunk costs a third of it.
    transport: Transport = "trunk"
    # A job's body. Services exchange messages of 8 MiB, so larger ones would fail further in; batches have files.
    body_bytes_max: int = Field(default=7 * 2**20, ge=1024, le=7 * 2**20)
    # Requests of one job: each takes some microseconds here, in which live calls wait. Not below the jobs service's
    # accept.requests_max, or jobs that it would take are refused here.
    requests_max: int = Field(default=1_000, ge=1, le=10_000)
    # Setting aside what a job may cost takes a look at each of its requests. Low values refuse long jobs, whose
    # callers then send them again.
    submit_seconds: float = Field(default=90.0, ge=1.0, le=600.0)
    # Everything else of a job. Low values fail reads while a replica is lost, high ones keep clients waiting then.
    call_seconds: float = Field(default=10.0, ge=0.5, le=600.0)
    # Results in one stream; a client that wants more asks again from where it is.
    results_seconds: float = Field(default=600.0, ge=1.0, le=86_400.0)
    # Clients that are told of jobs at once: each takes a connection here and a call to the jobs service.
    streams_max: int = Field(default=2_000, ge=1, le=100_000)
    # Files that are being uploaded at once: each holds a part (files.part_bytes) in memory.
    uploads_max: int = Field(default=16, ge=1, le=10_000)
    # One upload. Low values cut large files on slow lines, high ones let slow ones keep the places of others.
    upload_seconds: float = Field(default=3600.0, ge=1.0, le=86_400.0)
