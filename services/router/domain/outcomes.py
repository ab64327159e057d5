"""What gateways report of their attempts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Attempts on one worker under one name since the gateway's last report; fields as on the wire.

    `ttft_buckets[i]`: first tokens that took less than 2^i ms and not less than 2^(i-1). The cached tokens are sums
    over `predictions` answers whose plan had foreseen them.
    """

    worker: str
    boot_id: str
    model: str
    variant: str = ""
    attempts: int = 0
    failures: int = 0
    refusals: int = 0
    ttft_buckets: tuple[int, ...] = ()
    cached_tokens_predicted: int = 0
    cached_tokens_reported: int = 0
    predictions: int = 0
