"""What can go wrong with a broker, by what the caller can do about it."""

from __future__ import annotations


class KafkaError(Exception):
    """Base. The text says what happened and what to do; it never holds a record's key or value."""


class BrokerUnavailableError(KafkaError):
    """No broker answered in time. What was sent may have arrived all the same: repeat it later."""


class BrokerRefusedError(KafkaError):
    """The broker answered and will not have this client: credentials, permissions, TLS. A repeat needs an operator."""


class TopicUnknownError(KafkaError):
    """There is no such topic, and this client may not create it."""


class RecordRefusedError(KafkaError):
    """A record is not acceptable as it is (too large, refused by the topic's policy): a repeat fails again."""
