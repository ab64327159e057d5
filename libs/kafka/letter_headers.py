"""What a message's headers say of its way through retry topics and dead letters."""

from __future__ import annotations

from libs.kafka.handling import Delivery
from libs.kafka.ports import Stored

# Which attempt this is, from 1, as ASCII digits; absent on a message that was never moved.
ATTEMPT = "headrace-attempt"
# Present on a message that came back from the dead letters.
REPLAYED = "headrace-replayed"


def delivery_of(stored: Stored) -> Delivery:
    """The message as a handler sees it."""
    kept = stored.record
    delivery = Delivery(kept.topic, stored.partition, stored.offset, kept.key, kept.value, dict(kept.headers))
    delivery.timestamp_ms = stored.timestamp_ms
    read_way(delivery)
    return delivery


def read_way(delivery: Delivery) -> None:
    """Sets `attempt` and `replayed` from the headers. An attempt that is no number counts as the first."""
    if (attempt := delivery.headers.get(ATTEMPT)) and attempt.isdigit():
        delivery.attempt = int(attempt)
    delivery.replayed = REPLAYED in delivery.headers
