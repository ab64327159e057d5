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
