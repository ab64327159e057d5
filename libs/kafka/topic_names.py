"""Which topics there are."""

from __future__ import annotations

from libs.kafka.client import translated
from libs.kafka.settings import KafkaSettings
from libs.kafka.thread import OneThread
from libs.kafka.topics import prepare_topics


async def topic_names(settings: KafkaSettings) -> frozenset[str]:
    """All topics of the brokers. Raises KafkaError."""

    def asked() -> frozenset[str]:
        with translated(settings, "say which topics there are"):
            return prepare_topics(settings, ())

    thread = OneThread("kafka-topics")
    try:
        return await thread.run(asked)
    finally:
        thread.stop()
