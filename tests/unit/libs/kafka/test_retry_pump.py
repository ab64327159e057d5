from libs.kafka import BrokerUnavailableError
from libs.kafka.consumer.port import Claim, Polled
from libs.kafka.handling import Delivery, RetryLaterError
from libs.kafka.letter_headers import delivery_of
from libs.kafka.ports import Stored
from libs.testing.loop import run
from tests.unit.libs.kafka.pumping import LONG, SHORT, World, waiting


def test_a_message_returns_when_its_time_has_come_and_not_before():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 7, 30), assigned=[SHORT])
            await world.after(29.9)
            assert not world.returned()
            assert not world.source.commits
            await world.after(0.2)
            assert world.returned() == [b"7"]
            assert world.source.commits == [{SHORT: 8}]

    run(main())


def test_what_returns_is_the_message_one_attempt_later():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 7, 0), assigned=[SHORT])
            await world.after(1)
        (record,) = world.broker.records("t")
        message = delivery_of(Stored(record, 0, 0))
        assert (message.key, message.value, message.attempt) == (b"k", b"7", 2)
        assert set(message.headers) == {"ce_id", "headrace-attempt", "headrace-origin"}

    run(main())


def test_the_stairs_end_to_end():
    """Through both retry topics and into the dead letters, with the origin of the first time."""

    async def main():
        world = World()
        message = Delivery("t", 0, 5, b"k", b"v", {"ce_id": b"e1"})
        async with world.running():
            for offset, (claim, seconds) in enumerate(((SHORT, 30), (LONG, 300))):
                await world.letters.retry(message, RetryLaterError("no"))
                (stored,) = world.broker.topics[claim.topic][0]
                world.hand_out(claim, delivery_of(stored), assigned=[claim])
                await world.after(seconds - 1)
                assert len(world.returned()) == offset
                await world.after(2)
                message = delivery_of(world.broker.topics["t"][0][offset])
            await world.letters.retry(message, RetryLaterError("no"))
        (dead,) = world.broker.records("t.dead")
        assert dict(dead.headers)["headrace-attempt"] == b"3"
        assert dict(dead.headers)["headrace-origin"] == b"t/0/5"

    run(main())


def test_a_partition_that_waits_is_paused_and_holds_up_no_other():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(LONG, waiting(world, LONG, 0, 300), assigned=[LONG, SHORT])
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), waiting(world, SHORT, 1, 20))
            await world.after(0.1)
            assert world.source.flows == [({LONG}, True), ({SHORT}, True)]
            await world.after(10)
            assert world.returned() == [b"0"]
            assert world.pump.waiting == 2
            await world.after(10)
            assert world.source.commits == [{SHORT: 1}, {SHORT: 2}]
            assert world.source.flows[2:] == [({SHORT}, False)]

    run(main())


def test_what_is_due_when_it_comes_returns_without_a_pause():
    async def main():
        world = World()
        async with world.running():
            messages = [waiting(world, SHORT, offset, -5) for offset in range(1_200)]
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(0.1)
            assert len(world.returned()) == 1_200
            assert world.source.commits == [{SHORT: 500}, {SHORT: 1000}, {SHORT: 1200}]
            assert not world.source.flows

    run(main())


def test_messages_of_a_lost_partition_are_left_to_its_owner():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), assigned=[SHORT])
            await world.after(1)
            world.source.news.put_nowait(Polled(lost=[SHORT]))
            await world.after(20)
            assert not world.returned()
            assert not world.source.commits

    run(main())


def test_a_revoked_partition_is_let_go_and_comes_anew():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 10), assigned=[SHORT])
            await world.after(1)
            world.source.news.put_nowait(Polled(revoked=[SHORT]))
            await world.after(1)
            assert world.pump.waiting == 0
            again = Claim(SHORT.topic, 0)
            world.hand_out(again, waiting(world, SHORT, 0, 8), assigned=[again])
            await world.after(9)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{again: 1}]

    run(main())


def test_what_is_due_when_a_partition_is_revoked_is_returned_and_committed_first():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT], revoked=[SHORT])
            await world.after(1)
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_a_commit_that_is_refused_drops_the_partition():
    async def main():
        world = World()
        world.source.over = {SHORT}
        async with world.running():
            messages = (waiting(world, SHORT, 0, 0), waiting(world, SHORT, 1, 10))
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(20)
            assert world.returned() == [b"0"]

    run(main())


def test_what_comes_while_others_are_committed_is_heard():
    async def main():
        world = World()
        async with world.running():
            world.source.committing.clear()
            world.hand_out(SHORT, waiting(world, SHORT, 0, 5), assigned=[SHORT])
            await world.after(6)
            world.hand_out(SHORT, waiting(world, SHORT, 1, 0))
            await world.after(1)
            world.source.committing.set()
            await world.after(1)
            assert world.returned() == [b"0", b"1"]
            assert world.source.commits == [{SHORT: 1}, {SHORT: 2}]

    run(main())


def test_nothing_is_committed_that_could_not_be_returned():
    async def main():
        world = World()
        world.broker.up = False
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(60)
            assert not world.source.commits
            world.broker.up = True
            await world.after(6)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_a_commit_that_fails_is_tried_again_and_the_message_is_not():
    async def main():
        world = World()
        world.source.commit_error = BrokerUnavailableError("away")
        async with world.running():
            world.hand_out(SHORT, waiting(world, SHORT, 0, 0), assigned=[SHORT])
            await world.after(30)
            world.source.commit_error = None
            await world.after(6)
            assert world.returned() == [b"0"]
            assert world.source.commits == [{SHORT: 1}]

    run(main())


def test_no_header_holds_a_partition_up_for_good():
    async def main():
        world = World()
        async with world.running():
            far = waiting(world, SHORT, 0, 10**9)
            world.hand_out(SHORT, far, waiting(world, SHORT, 1, 0), assigned=[SHORT])
            await world.after(301)
            assert world.returned() == [b"0", b"1"]

    run(main())


def test_a_message_without_a_time_returns_at_once():
    async def main():
        world = World()
        async with world.running():
            world.hand_out(SHORT, Delivery(SHORT.topic, 0, 0, b"k", b"v", {}), assigned=[SHORT])
            await world.after(1)
            assert world.returned() == [b"v"]

    run(main())


def test_what_its_topic_will_not_take_is_a_dead_letter_and_the_others_return():
    async def main():
        world = World()
        async with world.running():
            large = waiting(world, SHORT, 1, 0, b"x" * 50_000)
            messages = (waiting(world, SHORT, 0, 0), large, waiting(world, SHORT, 2, 0))
            world.hand_out(SHORT, *messages, assigned=[SHORT])
            await world.after(1)
            assert world.returned() == [b"0", b"2"]
            (dead,) = world.broker.records("t.dead")
            assert dict(dead.headers)["headrace-size"] == b"50000"
            assert world.source.commits == [{SHORT: 3}]

    run(main())
