"""How messages are tried again, and when a consumer gives up on itself."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from libs.kafka.settings import KafkaSettings
from libs.settings import SettingsGroup

# What headers of a move come to at most, above what a message had.
_MOVE_BYTES_MAX = 16 * 1024


class LetterSettings(SettingsGroup):
    """Retry topics and dead letters of a consumer."""

    # What passes is tried again after these seconds; one retry topic each, so that no message waits behind a longer
    # wait. Empty the last topics before the list is made shorter: what is left in them is not read.
    retry_seconds: tuple[Annotated[float, Field(ge=0, le=86_400)], ...] = Field(
        default=(30.0, 300.0, 3600.0), min_length=1, max_length=9
    )
    # More dead letters than this within the window stop the consumer before the next one is moved: then the fault is
    # likely in the deploy, and it must not drain a topic. 0 stops at the first; a large number never stops.
    dead_letters_max: int = Field(default=100, ge=0)
    # Short forgets quickly and lets a slow drain go on; long stops for letters that have nothing to do with each other.
    dead_letters_window_seconds: float = Field(default=60.0, gt=0)
    # For topics of dead letters and parked messages that are created here; then nobody has to look at them sooner. They
    # hold what the messages hold, so rules for how long that may be kept bound this.
    keep_days: float = Field(default=90.0, gt=0, le=3_650)

    @property
    def steps(self) -> int:
        """How many retry topics each topic has."""
        return len(self.retry_seconds)


def for_letters(kafka: KafkaSettings) -> KafkaSettings:
    """Settings of the producer that moves messages: what any of ours may send can be moved with its headers."""
    return kafka.model_copy(update={"record_bytes_max": kafka.record_bytes_max + _MOVE_BYTES_MAX})
