import asyncio

import pytest
from structlog.testing import capture_logs

from libs.kafka import BrokerUnavailableError
from libs.kafka.consumer.metrics import Outcome
from libs.kafka.consumer.settle import Settling
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError, RetryLaterError
from libs.kafka.letters_port import StopConsumingError
from libs.testing.clock import FakeClock
from libs.testing.letters import MemoryLetters
from libs.testing.loop import run

MESSAGE = Delivery("t", 2, 5, b"k", b"value", {})


@pytest.mark.parametrize(
    ("error", "outcome", "place"),
    [
        (PoisonError("bad"), Outcome.DEAD, "dead"),
        (NewerSchemaError("2"), Outcome.PARKED, "parked"),
        (RetryLaterError("busy"), Outcome.RETRY, "retry"),
        (ZeroDivisionError(), Outcome.RETRY, "retry"),
        (TimeoutError(), Outcome.RETRY, "retry"),
    ],
)
def test_where_a_message_goes_by_what_its_handler_raised(error, outcome, place):
    async def main():
        letters = MemoryLetters()
        assert await Settling(letters, FakeClock()).settle(MESSAGE, error) is outcome
        assert letters.values(place) == [b"value"]
        assert len(letters.letters) == 1

    run(main())


def test_an_error_that_was_not_meant_is_logged_with_its_place_and_no_content():
    async def main():
        with capture_logs() as lines:
            settling = Settling(MemoryLetters(), FakeClock())
            await settling.settle(MESSAGE, RetryLaterError("busy"))
            await settling.settle(MESSAGE, ZeroDivisionError("a bug"))
        [line] = lines
        assert (line["topic"], line["partition"], line["offset"]) == ("t", 2, 5)
        assert isinstance(line["exc_info"], ZeroDivisionError)
        assert "value" not in str(line)

    run(main())


def test_a_message_waits_for_as_long_as_it_cannot_be_moved():
    async def main():
        letters, clock = MemoryLetters(), FakeClock()
        letters.fails_with = BrokerUnavailableError("away")
        settling = asyncio.ensure_future(Settling(letters, clock).settle(MESSAGE, PoisonError("bad")))
        await asyncio.sleep(3_600)
        assert not settling.done()
        letters.fails_with = None
        await asyncio.sleep(5)  # the longest pause
        assert settling.result() is Outcome.DEAD

    run(main())


def test_letters_that_say_stop_are_not_asked_again():
    async def main():
        letters = MemoryLetters()
        letters.fails_with = StopConsumingError("too many")
        with pytest.raises(StopConsumingError):
            await Settling(letters, FakeClock()).settle(MESSAGE, PoisonError("bad"))

    run(main())
