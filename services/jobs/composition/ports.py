"""What life and tests give the service differently."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from libs.blobs import Blobs
from libs.clock import Clock
from libs.kafka import Producer, TopicSpec
from libs.kafka.consumer import Source
from libs.telemetry.metrics import Registry
from services.jobs.adapters.outgoing import FINISHED, REQUESTED
from services.jobs.ports.neighbours import Capacity, Gateways, Hooks
from services.jobs.ports.store import Acceptance, Agenda, Attempts, Endings, Jobs
from services.jobs.settings import JobsSettings

OpenSource = Callable[[str, Sequence[TopicSpec]], Source]


class Store(Acceptance, Attempts, Jobs, Agenda, Endings, Protocol):
    """All of the store's ports, which one object serves."""


@dataclass(frozen=True)
class Ports:
    """`owner` names this life of the process. `letters` takes what is larger by a letter's headers. `source` opens a
    member of a group. `random` gives floats in [0, 1).
    """

    store: Store
    producer: Producer
    letters: Producer
    source: OpenSource
    gateways: Gateways
    capacity: Capacity
    hooks: Hooks
    blobs: Blobs
    clock: Clock
    registry: Registry
    owner: str
    random: Callable[[], float] = random.random


def topics_of(settings: JobsSettings) -> tuple[TopicSpec, TopicSpec]:
    """The topics of jobs: requested, finished."""
    topics = settings.topics
    return (
        TopicSpec(REQUESTED, topics.partitions, topics.replication),
        TopicSpec(FINISHED, topics.partitions, topics.replication),
    )
