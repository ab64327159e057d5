"""Letters in memory: what a consumer moved where, and faults to put on it."""

from __future__ import annotations

from dataclasses import dataclass

from libs.kafka.handling import Delivery


@dataclass(frozen=True, slots=True)
class Letter:
    """A message that was moved: `place` is "retry", "dead" or "parked"."""

    place: str
    message: Delivery
    error: Exception | None


class MemoryLetters:
    """Implements `libs.kafka.letters_port.Letters`. While `fails_with` is set every method raises it."""

    def __init__(self) -> None:
        self.letters: list[Letter] = []
        self.fails_with: Exception | None = None

    async def retry(self, message: Delivery, error: Exception) -> None:
        """See Letters."""
        self._move("retry", message, error)

    async def dead(self, message: Delivery, error: Exception) -> None:
        """See Letters."""
        self._move("dead", message, error)

    async def park(self, message: Delivery) -> None:
        """See Letters."""
        self._move("parked", message, None)

    def values(self, place: str) -> list[bytes]:
        """The values of what went there, in order."""
        return [letter.message.value for letter in self.letters if letter.place == place]

    def _move(self, place: str, message: Delivery, error: Exception | None) -> None:
        if self.fails_with is not None:
            raise self.fails_with
        self.letters.append(Letter(place, message, error))
