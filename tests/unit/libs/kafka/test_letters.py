import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from libs.kafka import BrokerUnavailableError, KafkaSettings, Record, Stored, TopicSpec
from libs.kafka.handling import Delivery, PoisonError, RetryLaterError
from libs.kafka.letter_headers import delivery_of
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_topics import topics_beside
from libs.kafka.letters import TopicLetters
from libs.kafka.letters_port import StopConsumingError
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemoryProducer
from libs.testing.loop import run

ORIGINAL = (("ce_id", b"e1"), ("traceparent", b"00-aa-bb-01"), ("headrace-signature", b"v1=00"))
TOPICS = (TopicSpec("t", 3),)
NOW_MS = 1_700_000_000_000


def delivered(value: bytes = b"value", *, attempt: int = 1, headers=ORIGINAL, offset: int = 41) -> Delivery:
    return Delivery("t", 2, offset, b"tenant/job", value, dict(headers), 1, attempt)


class World:
    def __init__(self, *, record_bytes_max: int = 100_000, **settings: object) -> None:
        self.broker, self.clock = MemoryBroker(), FakeClock()
        self.settings = LetterSettings.model_validate(settings)
        kafka = for_letters(KafkaSettings(record_bytes_max=record_bytes_max))
        topics = (*TOPICS, *topics_beside(TOPICS, self.settings))
        self.letters = TopicLetters(MemoryProducer(self.broker, topics, kafka), self.settings, self.clock)

    def only(self, topic: str) -> Record:
        (record,) = self.broker.records(topic)
        return record

    def again(self, topic: str) -> Delivery:
        """What the retry topic holds, as its consumer gets it once it is back in its own topic."""
        record = self.only(topic)
        return delivery_of(stored_in("t", record))


def stored_in(topic: str, record: Record) -> Stored:
    return Stored(Record(topic, record.key, record.value, record.headers), 0, 99)


def test_each_retry_waits_longer_and_then_it_is_dead():
    async def main():
        world, message = World(retry_seconds=(30, 300)), delivered()
        for step, seconds in ((1, 30), (2, 300)):
            await world.letters.retry(message, RetryLaterError("no worker"))
            headers = dict(world.only(f"t.retry-{step}").headers)
            assert headers["headrace-attempt"] == b"%d" % (step + 1)
            assert int(headers["headrace-not-before"]) == NOW_MS + seconds * 1000
            assert headers["headrace-cause"] == b"RetryLaterError: no worker"
            message = world.again(f"t.retry-{step}")
            assert message.attempt == step + 1
        await world.letters.retry(message, RetryLaterError("no worker"))
        assert dict(world.only("t.dead").headers)["headrace-attempt"] == b"3"

    run(main())


def test_what_lasts_stays_in_the_last_retry_topic():
    async def main():
        world = World(retry_seconds=(30, 300))
        for attempt in (2, 3, 50):
            await world.letters.retry(delivered(attempt=attempt), RetryLaterError("queue", lasting=True))
        attempts = {dict(record.headers)["headrace-attempt"] for record in world.broker.records("t.retry-2")}
        assert attempts == {b"3", b"4", b"51"}
        assert not world.broker.records("t.dead")

    run(main())


def test_what_was_not_meant_to_be_raised_is_tried_again_too():
    async def main():
        world = World()
        await world.letters.retry(delivered(), ZeroDivisionError("x"))
        assert dict(world.only("t.retry-1").headers)["headrace-cause"] == b"ZeroDivisionError: x"

    run(main())


def test_the_message_itself_is_untouched_on_the_whole_way():
    async def main():
        world, message = World(), delivered(b"\x00\xff")
        for step in (1, 2, 3):
            await world.letters.retry(message, RetryLaterError("no"))
            message = world.again(f"t.retry-{step}")
        await world.letters.retry(message, RetryLaterError("no"))
        dead = world.only("t.dead")
        assert (dead.key, dead.value) == (b"tenant/job", b"\x00\xff")
        assert tuple(header for header in dead.headers if header in ORIGINAL) == ORIGINAL
        assert len({name for name, _ in dead.headers}) == len(dead.headers)

    run(main())


def test_origin_and_first_time_hold_over_all_moves():
    async def main():
        world = World()
        await world.letters.retry(delivered(), RetryLaterError("no"))
        world.clock.advance(45)
        await world.letters.dead(world.again("t.retry-1"), PoisonError("bad"))
        headers = dict(world.only("t.dead").headers)
        assert headers["headrace-origin"] == b"t/2/41"
        assert int(headers["headrace-first-seen"]) == NOW_MS
        assert int(headers["headrace-moved"]) == NOW_MS + 45_000
        assert "headrace-not-before" not in headers

    run(main())


def _raise_inner() -> None:
    raise KeyError("inner")


def _raise_deep() -> None:
    try:
        _raise_inner()
    except KeyError as error:
        raise PoisonError("no such model, key sk-hr-0123456789abcdef") from error


def _raised(error: Exception) -> Exception:
    """With a stack."""
    with pytest.raises(type(error)) as raised:
        raise error
    return raised.value


def test_a_dead_letter_has_cause_and_stack_and_no_key():
    async def main():
        world = World()
        with pytest.raises(PoisonError) as raised:
            _raise_deep()
        await world.letters.dead(delivered(), raised.value)
        headers = dict(world.only("t.dead").headers)
        assert headers["headrace-cause"] == "PoisonError: no such model, key …".encode()
        stack = headers["headrace-stack"].decode()
        assert "_raise_deep" in stack
        assert "KeyError: 'inner'" in stack
        assert "0123456789abcdef" not in stack

    run(main())


def test_cause_and_stack_are_bounded():
    async def main():
        world = World()
        await world.letters.dead(delivered(), _raised(PoisonError("é" * 50_000)))
        headers = dict(world.only("t.dead").headers)
        assert len(headers["headrace-cause"]) <= 1_100
        assert len(headers["headrace-stack"]) <= 8 * 1024
        headers["headrace-cause"].decode()

    run(main())


def test_the_log_names_a_dead_letter_and_quotes_no_unforeseen_error():
    async def main():
        world = World()
        with capture_logs() as lines:
            await world.letters.dead(delivered(), ValueError("what a caller wrote"))
            await world.letters.dead(delivered(), PoisonError("no such schema"))
        assert [line["cause"] for line in lines] == ["ValueError", "PoisonError: no such schema"]
        assert lines[0]["offset"] == 41

    run(main())


def test_a_message_too_large_to_move_leaves_a_stub():
    async def main():
        world, value = World(), b"x" * 200_000
        headers = (*ORIGINAL, ("big", b"y" * 5_000))
        await world.letters.dead(delivered(value, headers=headers), PoisonError("too much"))
        stub = world.only("t.dead")
        told = dict(stub.headers)
        assert stub.value == b""
        assert told["headrace-size"] == b"200000"
        assert told["headrace-sha256"] == hashlib.sha256(value).hexdigest().encode()
        assert told["headrace-origin"] == b"t/2/41"
        assert told["headrace-cause"] == b"PoisonError: too much"
        assert told["ce_id"] == b"e1"
        assert "big" not in told

    run(main())


HEADERS = st.dictionaries(
    st.sampled_from(["ce_id", "headrace-signature", "headrace-origin", "headrace-x", "headrace-first-seen"])
    | st.text(min_size=1, max_size=20),
    st.binary(max_size=20) | st.integers(1, 3_000).map(lambda size: b"9" * size),
    max_size=40,
)


@given(HEADERS, st.integers(0, 30_000), st.integers(0, 30_000))
def test_whatever_comes_leaves_a_letter(headers, key_bytes, value_bytes):
    async def main():
        world = World(record_bytes_max=1_000)
        message = Delivery("t" * 249, 2**31 - 1, 2**63 - 1, b"k" * key_bytes, b"x" * value_bytes, headers)
        world.broker.create(TopicSpec("t" * 249 + ".dead", 1))
        await world.letters.dead(message, _raised(PoisonError("\U0001f600" * 9_000)))
        (dead,) = world.broker.records("t" * 249 + ".dead")
        told = dict(dead.headers)
        assert told.get("headrace-size", b"%d" % len(dead.value)) == b"%d" % value_bytes
        assert told["headrace-cause"].startswith(b"PoisonError: ")

    run(main())


def test_an_origin_that_is_none_is_not_believed():
    async def main():
        world = World()
        await world.letters.dead(delivered(headers=(("headrace-origin", b"x" * 300),)), PoisonError("bad"))
        assert dict(world.only("t.dead").headers)["headrace-origin"] == b"t/2/41"

    run(main())


def test_what_is_too_large_to_try_again_is_dead_at_once():
    async def main():
        world = World()
        await world.letters.retry(delivered(b"x" * 200_000), RetryLaterError("no"))
        assert dict(world.only("t.dead").headers)["headrace-size"] == b"200000"

    run(main())


def test_parking_keeps_the_bytes_and_says_where_they_came_from():
    async def main():
        world = World()
        await world.letters.park(delivered(b"later"))
        parked = world.only("t.parked")
        assert (parked.key, parked.value) == (b"tenant/job", b"later")
        assert dict(parked.headers)["headrace-origin"] == b"t/2/41"

    run(main())


def test_what_any_producer_may_send_can_be_moved_whole():
    async def main():
        world = World()
        value = b"x" * (100_000 - len(b"tenant/job") - sum(len(name) + len(each) for name, each in ORIGINAL))
        await world.letters.dead(delivered(value), _raised(PoisonError("é" * 50_000)))
        assert world.only("t.dead").value == value

    run(main())


def test_null_headers_move():
    async def main():
        world = World()
        await world.letters.dead(delivered(headers=(("a", None),)), PoisonError("bad"))
        assert ("a", b"") in world.only("t.dead").headers

    run(main())


def test_too_many_dead_letters_stop_before_the_next_is_moved():
    async def main():
        world = World(dead_letters_max=3, dead_letters_window_seconds=60)
        for _ in range(3):
            await world.letters.dead(delivered(), PoisonError("bad"))
            world.clock.advance(10)
        with pytest.raises(StopConsumingError, match=r"More than 3 messages.*within 60 s.*PoisonError: worse"):
            await world.letters.dead(delivered(), PoisonError("worse"))
        assert len(world.broker.records("t.dead")) == 3
        world.clock.advance(31)  # the first is out of the window
        await world.letters.dead(delivered(), PoisonError("bad"))
        assert len(world.broker.records("t.dead")) == 4

    run(main())


def test_why_it_stops_quotes_no_unforeseen_error():
    async def main():
        with pytest.raises(StopConsumingError, match=r"was not moved: ValueError\. Look"):
            await World(dead_letters_max=0).letters.dead(delivered(), ValueError("what a caller wrote"))

    run(main())


def test_retries_that_end_are_dead_letters_for_the_limit_too():
    async def main():
        world = World(dead_letters_max=0)
        await world.letters.retry(delivered(attempt=3), RetryLaterError("no"))
        with pytest.raises(StopConsumingError):
            await world.letters.retry(delivered(attempt=4), RetryLaterError("no"))

    run(main())


def test_a_broker_that_is_away_uses_nothing_of_the_limit():
    async def main():
        world = World(dead_letters_max=1)
        world.broker.up = False
        for _ in range(5):
            with pytest.raises(BrokerUnavailableError):
                await world.letters.dead(delivered(), PoisonError("bad"))
        world.broker.up = True
        await world.letters.dead(delivered(), PoisonError("bad"))
        assert len(world.broker.records("t.dead")) == 1

    run(main())


@pytest.mark.parametrize("attempt", [b"x", b"-1", b"", b"9" * 5_000, b"0"])
def test_an_attempt_that_is_none_counts_as_the_first(attempt):
    record = Record("t", b"k", b"v", (("headrace-attempt", attempt),))
    assert delivery_of(stored_in("t", record)).attempt == 1
