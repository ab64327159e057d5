"""Topics that must be there before anything is sent."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing, suppress

import kafka.errors as theirs
from kafka.admin import KafkaAdminClient
from kafka.errors import TopicAlreadyExistsError

from libs.kafka.client import client_config, open_client
from libs.kafka.ports import TopicSpec
from libs.kafka.settings import KafkaSettings


def prepare_topics(settings: KafkaSettings, topics: Sequence[TopicSpec]) -> frozenset[str]:
    """Creates what is missing, where the settings allow it; returns the names of all topics. Blocks.

    Never by asking for a topic's metadata: some brokers then create it, with one partition.
    """
    with closing(open_client(KafkaAdminClient, **client_config(settings))) as admin:
        present = set(admin.list_topics())
        missing = [topic for topic in topics if topic.name not in present]
        if settings.create_topics:
            for topic in missing:
                with suppress(TopicAlreadyExistsError):  # another process was faster
                    admin.create_topics({topic.name: _options(topic)}, timeout_ms=settings.connect_timeout_ms)
                present.add(topic.name)
    return frozenset(present)


def brokers_known(settings: KafkaSettings) -> int:
    """How many brokers the cluster has, as the one that was asked knows it; 0 when none answers. Blocks."""
    try:
        with closing(open_client(KafkaAdminClient, **client_config(settings))) as admin:
            return len(admin.describe_cluster()["brokers"])
    except theirs.KafkaError:
        return 0


def _options(topic: TopicSpec) -> dict[str, object]:
    kept = {"configs": {"retention.ms": str(topic.retention_ms)}} if topic.retention_ms else {}
    return {"num_partitions": topic.partitions, "replication_factor": topic.replication, **kept}
