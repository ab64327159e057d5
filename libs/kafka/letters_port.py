"""Where messages go that a handler would not take: the port between the consumer and `libs.kafka.letters`.

After a method returned, the message is safely in its other topic, and the consumer commits its offset. After one raised
nothing is committed, and the consumer asks again with the same message: a message may so be in the other topic twice.
"""

from __future__ import annotations

from typing import Protocol

from libs.kafka.handling import Delivery


class StopConsumingError(Exception):
    """Consuming must end: the error lies in this process or its deploy, not in single messages (too many dead letters).

    The text says what happened and what to do; it becomes the reason with which the process ends.
    """


class Letters(Protocol):
    """Moves messages to other topics. May be called for many messages at once.

    Each method returns when the brokers have the message, raises KafkaError when they do not for now, and
    StopConsumingError when this process must not go on; then the message was not moved. When it is cancelled, the
    message may have been moved all the same.
    """

    async def retry(self, message: Delivery, error: Exception) -> None:
        """To the next retry topic. After the last one it is a dead letter, unless the error is a lasting one.

        `error` is what the handler raised: RetryLaterError, or anything that it did not mean to raise.
        """
        ...

    async def dead(self, message: Delivery, error: Exception) -> None:
        """To the dead-letter topic, with the error as its cause."""
        ...

    async def park(self, message: Delivery) -> None:
        """To the parking topic, as it is."""
        ...
