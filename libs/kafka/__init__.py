"""Kafka: records out with an acknowledgement for each, and a topic read from end to end.

`kafka-python` is imported by what is in here alone; `producer` and `reader` are imported by name, as that takes 100 ms.
"""

from libs.kafka.errors import (
    BrokerRefusedError,
    BrokerUnavailableError,
    KafkaError,
    RecordRefusedError,
    TopicUnknownError,
)
from libs.kafka.ports import Producer, Reader, Record, Stored, TopicSpec
from libs.kafka.seen import Seen
from libs.kafka.settings import KafkaSettings

__all__ = [
    "BrokerRefusedError",
    "BrokerUnavailableError",
    "KafkaError",
    "KafkaSettings",
    "Producer",
    "Reader",
    "Record",
    "RecordRefusedError",
    "Seen",
    "Stored",
    "TopicSpec",
    "TopicUnknownError",
]
