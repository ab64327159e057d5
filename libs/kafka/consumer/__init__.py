"""The consumer base: messages of a group's topics, handled at least once, committed after their effect.

`consumer.kafka_source` imports kafka-python (100 ms), so it is imported by name.
"""

from libs.kafka.consumer.consumer import Consumer, Phase
from libs.kafka.consumer.metrics import ConsumerMetrics
from libs.kafka.consumer.port import Claim, Fetched, Polled, Source

__all__ = ["Claim", "Consumer", "ConsumerMetrics", "Fetched", "Phase", "Polled", "Source"]
