"""Sizes and times of the trunk; both sides compile them in, Hello carries those that the peer must know."""

from __future__ import annotations

from dataclasses import dataclass

VERSION = 1


@dataclass(frozen=True, slots=True)
class TrunkLimits:
    """The defaults are the design's; tests shrink them."""

    # A payload over this goes out in parts, one per message, so that it cannot block others for long.
    part_bytes: int = 64 * 1024
    # What a sender puts into one message; receivers take four times that.
    message_bytes: int = 1024 * 1024
    # A larger payload fails its own call.
    payload_bytes: int = 8 * 1024 * 1024
    # First window of a streaming response.
    window_bytes: int = 256 * 1024
    # How long a handler may be out of credit.
    starved_seconds: float = 5.0
    # How long one write may take before the trunk counts as dead.
    write_seconds: float = 5.0
    ping_seconds: float = 0.25
    # Without a pong for this long, the peer counts as dead: it is stopped, or its event loop is.
    silent_seconds: float = 2.0
    calls_max: int = 4096
    connect_seconds: float = 1.0
    # Keys and values of one call's metadata, together; a larger Open is refused.
    metadata_bytes: int = 16 * 1024
    backoff_seconds_max: float = 1.0
