"""How Kafka is reached."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from libs.settings import SettingsGroup


class KafkaSettings(SettingsGroup):
    """The brokers and what may be asked of them."""

    # "host:port" of some brokers; the others are learned from them. Empty = nothing is published, and what would be
    # published stays where it is.
    brokers: tuple[str, ...] = ()
    # The operator's word that an acknowledged record survives the loss of any one broker: replication of three or more,
    # min.insync.replicas of two or more, no unclean election. Only then is what was published dropped from its source.
    durable: bool = False
    # Shown in the broker's logs and quotas.
    client_id: str = Field(default="headrace", min_length=1, max_length=128)
    # Bounds finding a broker, TLS and login included.
    connect_timeout_ms: int = Field(default=3_000, ge=100, le=60_000)
    # Bounds one batch until its acknowledgement. Shorter than an election of a partition's leader (seconds) means
    # repeats, which cost traffic and nothing else.
    send_timeout_ms: int = Field(default=10_000, ge=200, le=120_000)
    # For the last batch when the process ends.
    close_timeout_ms: int = Field(default=2_000, ge=0, le=60_000)
    # Larger records are refused before they are sent. Must fit the brokers' message.max.bytes (1 MiB by default).
    record_bytes_max: int = Field(default=900_000, ge=1_000, le=100 * 2**20)
    # Whether missing topics are created. Off where an operator owns topics.
    create_topics: bool = True
    # SSL and SASL_SSL check the broker's certificate and name.
    protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    # Certificates that brokers' are checked against; empty = the machine's.
    ca_file: Path | None = None
    # This client's certificate and key, where brokers ask for one.
    certificate_file: Path | None = None
    key_file: Path | None = None
    # PLAIN hands the password to whoever reads the line, so it needs SASL_SSL; SCRAM never sends it.
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    # Mode 600; read when the connection is made.
    sasl_password_file: Path | None = None

    @property
    def uses_sasl(self) -> bool:
        """Whether this client logs in with a name and a password."""
        return self.protocol.startswith("SASL")

    @model_validator(mode="after")
    def _login_is_whole(self) -> Self:
        if self.uses_sasl and not (self.sasl_username and self.sasl_password_file):
            raise ValueError(f"{self.protocol} needs sasl_username and sasl_password_file")
        if self.protocol == "SASL_PLAINTEXT" and self.sasl_mechanism == "PLAIN":
            raise ValueError(
                "PLAIN over SASL_PLAINTEXT sends the password in the clear: use SASL_SSL, or SCRAM-SHA-512"
            )
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together")
        return self

    @model_validator(mode="after")
    def _durable_needs_brokers(self) -> Self:
        if self.durable and not self.brokers:
            raise ValueError("durable says something of brokers, but brokers is empty: list them, or leave durable off")
        return self


class ConsumerSettings(SettingsGroup):
    """How a consumer takes messages. Every replica of a group has the same."""

    # A member that is not heard of for so long is dead to the group, and its messages come again elsewhere. Short finds
    # deaths soon and takes a pause of the machine for one. The brokers' group.min.session.timeout.ms (6 s) bounds it.
    session_timeout_ms: int = Field(default=10_000, ge=500, le=300_000)
    # A member whose process lives but does not poll for so long leaves the group by itself: a stuck process.
    poll_interval_ms_max: int = Field(default=60_000, ge=1_000, le=3_600_000)
    # Of one poll. Few means more calls per message, many means a longer turn of the event loop.
    poll_records_max: int = Field(default=500, ge=1, le=10_000)
    # Messages that one handler has at the same time. 1 = one after another.
    inflight_max: int = Field(default=64, ge=1, le=10_000)
    # What is held in memory, in all partitions together; each has its share, and is paused when that is full, until
    # half of it is done. One poll of a partition may come on top. Little starves handlers, much comes again after a
    # crash.
    held_messages_max: int = Field(default=2_000, ge=1, le=1_000_000)
    held_bytes_max: int = Field(default=64 * 2**20, ge=2**10, le=2**34)
    # Offsets are committed at most so often. What was done since comes again after a crash; 0 = as soon as possible.
    commit_seconds: float = Field(default=0.1, ge=0, le=60)
    # What handlers of a partition get to finish when it moves to another member. It stands still meanwhile; what is not
    # done by then is cut off and done again there.
    revoke_grace_seconds: float = Field(default=5.0, ge=0, le=60)
    # Between tries while the brokers are away: the first pause, which doubles up to the most.
    retry_seconds_min: float = Field(default=0.25, gt=0, le=60)
    retry_seconds_max: float = Field(default=5.0, gt=0, le=600)
    # How often the ends of paused partitions are asked for, which the lag needs.
    lag_seconds: float = Field(default=5.0, gt=0, le=600)

    @model_validator(mode="after")
    def _grace_fits_the_poll(self) -> Self:
        if self.revoke_grace_seconds * 1000 >= self.poll_interval_ms_max:
            raise ValueError("revoke_grace_seconds must be below poll_interval_ms_max: polling rests meanwhile")
        return self
