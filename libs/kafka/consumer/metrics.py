"""What consumers tell of themselves. One object per process; its consumers differ by topic."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from libs.telemetry.metrics import Registry


class Outcome(StrEnum):
    """What became of a message. `LOST`: cut off or given back before it was done; it comes again."""

    DONE = "done"
    RETRY = "retry"
    DEAD = "dead"
    PARKED = "parked"
    LOST = "lost"


class TopicLabels(NamedTuple):
    """`topic` is one of those that the service consumes."""

    topic: str


class OutcomeLabels(NamedTuple):
    """See Outcome."""

    topic: str
    outcome: Outcome


class ChangeLabels(NamedTuple):
    """`change` is "assigned", "revoked" or "lost"."""

    topic: str
    change: str


class CommitLabels(NamedTuple):
    """`cause` is "fenced" (the partition is somebody else's) or "broker" (tried again)."""

    cause: str


class ConsumerMetrics:
    """Declares the instruments."""

    def __init__(self, registry: Registry) -> None:
        self.handled = registry.counter(
            "headrace_consumer_messages_total", "Messages that were handled, by what became of them.", OutcomeLabels
        )
        # Counts what is not done, so it holds what is being handled too.
        self.lag = registry.gauge(
            "headrace_consumer_lag_messages", "Messages of this member's partitions that are not done.", TopicLabels
        )
        self.held = registry.gauge(
            "headrace_consumer_held_messages", "Messages in memory that are not done.", TopicLabels
        )
        self.running = registry.gauge("headrace_consumer_running_messages", "Messages that a handler has.", TopicLabels)
        self.partitions = registry.gauge(
            "headrace_consumer_partitions", "Partitions that are this member's.", TopicLabels
        )
        self.changes = registry.counter(
            "headrace_consumer_partition_changes_total", "Partitions that came and went.", ChangeLabels
        )
        self.commit_failures = registry.counter(
            "headrace_consumer_commit_failures_total", "Partitions whose offset could not be committed.", CommitLabels
        )

    def read_from(
        self, topic: str, *, lag: Callable[[], float], held: Callable[[], float], running: Callable[[], float]
    ) -> None:
        """Asks these at each scrape, from the scraping thread."""
        labels = TopicLabels(topic)
        self.lag.read_from(labels, lag)
        self.held.read_from(labels, held)
        self.running.read_from(labels, running)
