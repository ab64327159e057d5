"""What is done with a message that its handler would not take."""

from __future__ import annotations

from functools import partial

from libs.clock import Clock
from libs.kafka.consumer.metrics import Outcome
from libs.kafka.consumer.outage import Outage, pauses
from libs.kafka.errors import KafkaError
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError, RetryLaterError
from libs.kafka.letters_port import Letters
from libs.telemetry import get_logger

_log = get_logger("consumer")
# Between tries while the other topics cannot be written.
SECONDS_MIN, SECONDS_MAX = 0.2, 5.0


class Settling:
    """Moves messages by what their handler raised. One per consumer, for many messages at once."""

    def __init__(self, letters: Letters, clock: Clock) -> None:
        self._letters, self._clock = letters, clock
        self._outage = Outage("topics for letters are")

    async def settle(self, message: Delivery, error: Exception) -> Outcome:
        """Returns when the message is safely in its other topic, however long that takes. Raises StopConsumingError."""
        outcome = _outcome(error)
        if outcome is Outcome.RETRY and not isinstance(error, RetryLaterError):
            _log.error("handler failed", exc_info=error, **_names(message))
        move = {
            Outcome.RETRY: partial(self._letters.retry, message, error),
            Outcome.DEAD: partial(self._letters.dead, message, error),
            Outcome.PARKED: partial(self._letters.park, message),
        }[outcome]
        for pause in pauses(SECONDS_MIN, SECONDS_MAX):
            try:
                await move()
            except KafkaError as failure:
                self._outage.failed(failure)
                await self._clock.sleep(pause)
            else:
                self._outage.worked()
                break
        return outcome


def _outcome(error: Exception) -> Outcome:
    if isinstance(error, PoisonError):
        return Outcome.DEAD
    return Outcome.PARKED if isinstance(error, NewerSchemaError) else Outcome.RETRY


def _names(message: Delivery) -> dict[str, object]:
    return {"topic": message.topic, "partition": message.partition, "offset": message.offset}
