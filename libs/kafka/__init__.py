"""Kafka: records out with an acknowledgement for each, and a topic read from end to end.

`kafka-python` is imported in here alone. Consumers of a group come with what needs them.
"""

from libs.kafka.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    KafkaError,
    RecordRefusedError,
    TopicUnknownError,
)
from libs.kafka.ports import Producer, Reader, Record, Stored, TopicSpec
from libs.kafka.producer import IdempotentProducer
from libs.kafka.reader import TopicReader
from libs.kafka.seen import Seen
from libs.kafka.settings import KafkaSettings

__all__ = [
    "BrokerRefusedError",
    "BrokerUnavailableError",
    "IdempotentProducer",
    "KafkaError",
    "KafkaSettings",
    "Producer",
    "Reader",
    "Record",
    "RecordRefusedError",
    "Seen",
    "Stored",
    "TopicReader",
    "TopicSpec",
    "TopicUnknownError",
]
