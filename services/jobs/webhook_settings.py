"""How webhooks are called."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from pydantic import Field, field_validator

from libs.settings import SettingsGroup


class WebhookSettings(SettingsGroup):
    """Calls to addresses that callers name. They leave this process directly: no proxy of its environment is used."""

    # Whether plain http is called too: what is told is then read, and its signature replayed, by whoever is on the way.
    http_allowed: bool = False
    # Networks that may be called although they are private, such as "10.1.2.0/24". Each lets every caller of the
    # platform send requests into it.
    networks_allowed: tuple[str, ...] = ()
    # Public networks that must not be called: the operator's own, where being inside opens doors.
    networks_refused: tuple[str, ...] = ()
    # For all of one attempt: name, connection, TLS, reply. Slow receivers hold one of `calls_max` for so long.
    timeout_seconds: float = Field(default=10.0, ge=0.1, le=60.0)
    # At once, of this process.
    calls_max: int = Field(default=64, ge=1, le=1_000)
    # Pauses after the first attempt and those that follow, in seconds. After the last pause comes the last attempt:
    # seven attempts in a day as it is. Empty = one attempt.
    backoff_seconds: tuple[float, ...] = (10.0, 60.0, 600.0, 3_600.0, 21_600.0, 61_200.0)
    # Certificates that receivers' are checked against; empty = the machine's.
    ca_file: Path | None = None

    @field_validator("networks_allowed", "networks_refused")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            ipaddress.ip_network(each)
        return value

    @field_validator("backoff_seconds")
    @classmethod
    def _pauses_are_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(each <= 0 for each in value):
            raise ValueError("each pause must be longer than 0 seconds")
        return value
