"""Settings of the jobs service that are about what is accepted, and from whom."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from libs.settings import SettingsError, SettingsGroup, read_secret_file
from services.jobs.domain.submission import SubmissionLimits
from services.jobs.usecases.submission import Producer
from services.jobs.usecases.watch import WatchTimes

SECRET_BYTES_MIN = 32


class AcceptSettings(SettingsGroup):
    """Bounds of jobs."""

    # Requests of one job; more are a batch with a file. Each is looked at before the job is accepted.
    requests_max: int = Field(default=1_000, ge=1, le=10_000)
    # All requests of one job. Services exchange messages of 8 MiB at most.
    bytes_max: int = Field(default=7 * 2**20, ge=1024, le=7 * 2**20)
    # Requests that one consumer does in one go: a message, an attempt, and what is looked at anew after a crash. Low
    # values cost a message and a store call per few requests; high ones keep a job's requests on one consumer.
    part_requests: int = Field(default=16, ge=1, le=1_000)
    # When a job that names no time expires, and the longest that one may name.
    expires_seconds_default: int = Field(default=86_400, ge=60)
    expires_seconds_max: int = Field(default=7 * 86_400, ge=60, le=30 * 86_400)
    # Kafka's time to take a new job's messages, while its caller waits. Beyond it the agenda sends them, later.
    send_seconds: float = Field(default=1.0, ge=0.01, le=60.0)

    def limits(self, *, plain_http: bool) -> SubmissionLimits:
        """As they are checked. `plain_http`: webhooks may be http."""
        return SubmissionLimits(
            requests_max=self.requests_max,
            bytes_max=self.bytes_max,
            part_requests=self.part_requests,
            expires_seconds_default=self.expires_seconds_default,
            expires_seconds_max=self.expires_seconds_max,
            plain_http=plain_http,
        )

    @model_validator(mode="after")
    def _the_default_is_allowed(self) -> Self:
        if self.expires_seconds_default > self.expires_seconds_max:
            raise ValueError("accept.expires_seconds_default must be at most accept.expires_seconds_max")
        return self


class WatchSettings(SettingsGroup):
    """How jobs are followed for those who watch them; each watched job is read by one poller per process."""

    # Between looks at a job that changes, and at most at one that rests. Low values read the store more often.
    poll_seconds: float = Field(default=0.25, ge=0.02, le=60.0)
    poll_seconds_max: float = Field(default=2.0, ge=0.02, le=60.0)
    # Silence until a watcher is told again. Proxies close streams that are silent for longer than a minute or so.
    heartbeat_seconds: float = Field(default=15.0, ge=0.1, le=60.0)
    # How long the store may be away before watchers are told.
    patience_seconds: float = Field(default=10.0, ge=0.0, le=600.0)
    # Jobs that are watched at once.
    jobs_max: int = Field(default=5_000, ge=1, le=1_000_000)

    def times(self) -> WatchTimes:
        """As they are kept."""
        return WatchTimes(
            poll=self.poll_seconds,
            poll_max=max(self.poll_seconds, self.poll_seconds_max),
            heartbeat=self.heartbeat_seconds,
            patience=self.patience_seconds,
            jobs_max=self.jobs_max,
        )


class ProducerSettings(SettingsGroup):
    """A service that submits jobs through Kafka: whoever has its secret speaks for its tenants."""

    # Its name, as it stands in ce_source of its events.
    name: str = Field(min_length=1, max_length=200)
    # Files of mode 600 with a secret of 32 bytes or more each. Two while one is being replaced.
    secret_files: tuple[Path, ...] = Field(min_length=1)
    # Ids of tenants; "*" = every one, which is for services of the platform's own.
    tenants: tuple[str, ...] = Field(min_length=1)

    def producer(self) -> Producer:
        """With its secrets read. Raises SettingsError."""
        return Producer([_secret(path) for path in self.secret_files], frozenset(self.tenants))


def producers_of(settings: Sequence[ProducerSettings]) -> dict[str, Producer]:
    """By name. Raises SettingsError for secrets that cannot be read, and for a name that is there twice."""
    found = {each.name: each.producer() for each in settings}
    if len(found) < len(settings):
        raise SettingsError(["producers: a name is there twice; give each producer one entry"])
    return found


def _secret(path: Path) -> bytes:
    secret = read_secret_file(path, fix=f"make one with: openssl rand -hex 32 > {path} && chmod 600 {path}").encode()
    if len(secret) < SECRET_BYTES_MIN:
        raise SettingsError(
            [f"{path}: has {len(secret)} bytes; a secret for signatures has {SECRET_BYTES_MIN} or more"]
        )
    return secret
