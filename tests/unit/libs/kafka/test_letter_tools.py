import pytest

from libs.kafka import BrokerUnavailableError, KafkaSettings, Record, TopicSpec, TopicUnknownError
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.letter_box import read_box, read_letters, stack_of_letter
from libs.kafka.letter_headers import delivery_of
from libs.kafka.letter_settings import LetterSettings, for_letters
from libs.kafka.letter_tools import Replayed, replay
from libs.kafka.letter_topics import topics_beside
from libs.kafka.letters import TopicLetters
from libs.kafka.ports import Stored
from libs.testing.clock import FakeClock
from libs.testing.kafka import MemoryBroker, MemoryProducer, MemoryReader
from libs.testing.loop import run

TOPICS = (TopicSpec("t", 3),)
CE = {"ce_id": b"e1", "ce_type": b"x.Y", "ce_dataschema": b"x.Y/2"}


class World:
    """Letters that a consumer moved, and the tools that look at them."""

    def __init__(self) -> None:
        self.broker, self.clock, self.settings = MemoryBroker(), FakeClock(), LetterSettings()
        topics = (*TOPICS, *topics_beside(TOPICS, self.settings))
        self.producer = MemoryProducer(self.broker, topics, for_letters(KafkaSettings(record_bytes_max=10_000)))
        self.letters = TopicLetters(self.producer, self.settings, self.clock)
        self.reader = MemoryReader(self.broker)

    async def die(self, *values: bytes, cause: str = "bad", attempt: int = 1) -> None:
        for offset, value in enumerate(values):
            message = Delivery("t", 1, offset, b"k%d" % offset, value, dict(CE), 5, attempt)
            await self.letters.dead(message, PoisonError(cause))

    async def replay(self, *places: tuple[int, int], topic: str = "t.dead") -> Replayed:
        return await replay(self.reader, self.producer, topic, set(places), self.clock)

    def came_back(self) -> list[Delivery]:
        return [delivery_of(Stored(record, 0, 0)) for record in self.broker.records("t")]


def test_a_letter_says_what_became_of_it():
    async def main():
        world = World()
        await world.die(b"a", attempt=4)
        (letter,) = (await read_box(world.reader, "t.dead")).waiting
        assert (letter.cause, letter.attempts, letter.origin) == ("PoisonError: bad", 4, ("t", 1, 0))
        assert (letter.event_id, letter.event_type, letter.schema) == ("e1", "x.Y", "x.Y/2")
        assert letter.moved_ms == letter.first_seen_ms == round(world.clock.unix() * 1000)
        assert (letter.place, letter.size_bytes, letter.stub) == ((0, 0), 1, False)

    run(main())


def test_a_replayed_letter_begins_again_as_it_was():
    async def main():
        world = World()
        await world.die(b"a", b"b", attempt=4)
        assert await world.replay((0, 1)) == Replayed(count=1)
        (back,) = world.came_back()
        assert (back.key, back.value, back.attempt, back.replayed) == (b"k1", b"b", 1, True)
        assert back.headers["headrace-replayed"] == b"t.dead/0/1"
        assert back.headers["headrace-origin"] == b"t/1/1"
        assert back.headers["ce_id"] == b"e1"
        assert not {"headrace-cause", "headrace-stack"} & set(back.headers)

    run(main())


def test_what_was_replayed_is_no_longer_waiting():
    async def main():
        world = World()
        await world.die(b"a", b"b", b"c")
        await world.replay((0, 0), (0, 2))
        box = await read_box(world.reader, "t.dead")
        assert [letter.place for letter in box.waiting] == [(0, 1)]
        assert len(box.letters) == 3

    run(main())


def test_one_that_dies_again_is_a_letter_that_says_so():
    async def main():
        world = World()
        await world.die(b"a")
        await world.replay((0, 0))
        await world.letters.dead(world.came_back()[0], PoisonError("still bad"))
        (letter,) = (await read_box(world.reader, "t.dead")).waiting
        assert (letter.cause, letter.replayed_from) == ("PoisonError: still bad", "t.dead/0/0")
        assert letter.origin == ("t", 1, 0)

    run(main())


def test_a_stub_is_not_sent_back_as_a_message_without_a_value():
    async def main():
        world = World()
        await world.die(b"x" * 50_000)
        (letter,) = (await read_box(world.reader, "t.dead")).waiting
        assert (letter.stub, letter.size_bytes) == (True, 50_000)
        assert await world.replay((0, 0)) == Replayed(stubs=1)
        assert not world.came_back()
        assert (await read_box(world.reader, "t.dead")).waiting

    run(main())


def test_nothing_is_marked_that_was_not_sent():
    async def main():
        world = World()
        await world.die(b"a")
        world.broker.fail_after = 0
        with pytest.raises(BrokerUnavailableError):
            await replay(world.reader, world.producer, "t.dead", {(0, 0)}, world.clock)
        world.broker.up = True
        assert (await read_box(world.reader, "t.dead")).waiting

    run(main())


def test_markers_are_never_replayed():
    async def main():
        world = World()
        await world.die(b"a")
        await world.replay((0, 0))
        assert await world.replay((0, 1)) == Replayed()

    run(main())


def test_parked_messages_come_back_with_their_bytes():
    async def main():
        world = World()
        await world.letters.park(Delivery("t", 2, 7, b"k", b"\x00later", dict(CE)))
        assert await world.replay((0, 0), topic="t.parked") == Replayed(count=1)
        (back,) = world.came_back()
        assert (back.key, back.value, back.headers["headrace-origin"]) == (b"k", b"\x00later", b"t/2/7")
        assert not (await read_box(world.reader, "t.parked")).waiting

    run(main())


def test_many_go_in_batches_in_their_order():
    async def main():
        world = World()
        for number in range(450):
            await world.letters.park(Delivery("t", 0, number, b"k", b"%d" % number, {}))
        done = await world.replay(*((0, number) for number in range(450)), topic="t.parked")
        assert done.count == 450
        assert [each.value for each in world.came_back()] == [b"%d" % number for number in range(450)]

    run(main())


def test_whole_letters_have_their_stack():
    async def main():
        world = World()
        with pytest.raises(PoisonError) as raised:
            raise PoisonError("bad")
        await world.letters.dead(Delivery("t", 0, 0, b"k", b"v", {}), raised.value)
        (letter,) = await read_letters(world.reader, "t.dead", {(0, 0), (3, 3)})
        assert letter.value == b"v"
        assert "PoisonError: bad" in stack_of_letter(letter)

    run(main())


def test_what_others_wrote_into_the_topic_is_listed_too():
    async def main():
        world = World()
        await world.die(b"a")
        for headers in ((("headrace-done", b"x/y"),), (("headrace-origin", b"nowhere"),), ()):
            world.broker.append(Record("t.dead", b"k", b"v", headers))
        box = await read_box(world.reader, "t.dead")
        assert [letter.origin for letter in box.waiting] == [("t", 1, 0), None, None, None]

    run(main())


def test_a_topic_that_is_not_there_is_an_error():
    async def main():
        with pytest.raises(TopicUnknownError):
            await read_box(World().reader, "t.dead")

    run(main())
