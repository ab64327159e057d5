"""What a consumer's handler gets, and what it may say: the contract between `libs.kafka.consumer` and services.

A handler is idempotent: any message may come again, on any replica, after any crash. Its effect is durable when it
returns, and only then is the offset committed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Delivery:
    """A message as a handler sees it. Not frozen: one is made per message, and freezing triples its cost.

    `attempt` counts from 1, over retry topics. `replayed`: it comes back from the dead letters.
    """

    topic: str
    partition: int
    offset: int
    key: bytes
    value: bytes
    headers: Mapping[str, bytes]
    timestamp_ms: int = 0
    attempt: int = 1
    replayed: bool = False


class Handler(Protocol):
    """One message at a time, many at once (up to the consumer's `inflight_max`)."""

    async def handle(self, message: Delivery) -> None:
        """Returns when the effect is durable, or there is none to be had.

        Raises RetryLaterError, PoisonError, NewerSchemaError; any other exception counts as RetryLaterError, and is
        logged with its stack. Cancelled when its partition is taken away or the consumer is terminated: then nothing
        is committed.
        """
        ...


class BatchHandler(Protocol):
    """What was polled together, for small effects."""

    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Exception | None]:
        """One result per message, in order: None = done, else what `Handler.handle` would have raised.

        What it raises itself holds for all of them.
        """
        ...


class RetryLaterError(Exception):
    """Cannot be done now. The message goes to the next retry topic; after the last one it is a dead letter.

    `lasting`: it stays in the last retry topic for as long as it takes, because somebody else keeps the time.
    """

    def __init__(self, cause: str, *, lasting: bool = False) -> None:
        super().__init__(cause)
        self.lasting = lasting


class PoisonError(Exception):
    """Will never be done as it is: a dead letter at once. The text is its cause; no secrets, no prompts."""


class NewerSchemaError(Exception):
    """Of a schema that this version does not know: parked with its bytes until a version that does asks for it."""
