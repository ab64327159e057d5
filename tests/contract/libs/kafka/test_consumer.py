from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Collection

import pytest

from libs.kafka import BrokerUnavailableError, Record, TopicSpec
from libs.kafka.consumer import Claim, Phase
from libs.kafka.consumer.lane import Lane
from libs.kafka.handling import NewerSchemaError, PoisonError, RetryLaterError
from libs.kafka.letters_port import StopConsumingError
from libs.testing.loop import run_real

from .conftest import World
from .consuming import (
    Noting,
    NotingBatches,
    Running,
    publish,
    publish_at_last,
    records,
    running,
    settings,
    until,
    values,
)

# kafka-python leaves a socket to the collector where a connection is being made when it is closed.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed .socket:ResourceWarning")
BOTH = pytest.mark.parametrize("kind", [Noting, NotingBatches])


def by_key(handler: Noting) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for message in handler.began:
        found.setdefault(message.key, []).append(message.value)
    return found


@BOTH
def test_everything_comes_once_and_in_order_per_key_and_the_lag_ends(
    world: World, topic: TopicSpec, kind: type[Noting]
) -> None:
    async def main() -> None:
        handler = kind()
        await publish(world, topic, records(topic, 300))
        async with running(world, topic, handler) as one:
            await until(lambda: len(handler.done) >= 300)
            await publish(world, topic, records(topic, 300, first=300))
            await until(lambda: len(handler.done) >= 600)
            assert Counter(handler.values()) == values(600)
            assert by_key(handler) == {b"k%d" % k: [b"v%d" % n for n in range(k, 600, 8)] for k in range(8)}
            await until(lambda: one.metric(f'headrace_consumer_lag_messages{{topic="{topic.name}"}}') == 0)
            assert one.metric(f'headrace_consumer_messages_total{{outcome="done",topic="{topic.name}"}}') == 600
            assert one.metric(f'headrace_consumer_partitions{{topic="{topic.name}"}}') == 3

    run_real(main())


@BOTH
def test_what_was_committed_does_not_come_again_and_what_was_not_does(
    world: World, topic: TopicSpec, kind: type[Noting]
) -> None:
    async def main() -> None:
        await publish(world, topic, records(topic, 90))
        first = kind()
        async with running(world, topic, first):
            await until(lambda: len(first.done) >= 90)
        crashed = kind(gate=asyncio.Event())
        await publish(world, topic, records(topic, 90, first=90))
        async with running(world, topic, crashed) as one:
            await until(lambda: bool(crashed.began))
            await one.crash()
        assert not crashed.done
        last = kind()
        async with running(world, topic, last):
            await until(lambda: len(last.done) >= 90)
        assert Counter(last.values()) == values(90, first=90)

    run_real(main())


def test_the_offset_stays_before_the_first_message_that_is_not_done(world: World, topic: TopicSpec) -> None:
    """Handlers end in any order: what came behind a slow message is done again, and nothing is left out."""

    class Slow(Noting):
        async def handle(self, message):
            if message.value == b"v5":
                await asyncio.Event().wait()
            await super().handle(message)

    async def main() -> None:
        await publish(world, topic, records(topic, 20, keys=1))
        slow = Slow()
        async with running(world, topic, slow) as one:
            await until(lambda: len(slow.done) == 19)
            await one.crash()
        again = Noting()
        async with running(world, topic, again):
            await until(lambda: len(again.done) >= 15)
            assert again.values() == [b"v%d" % n for n in range(5, 20)]

    run_real(main())


@BOTH
def test_two_members_share_and_nothing_is_lost_or_held_up(world: World, topic: TopicSpec, kind: type[Noting]) -> None:
    async def main() -> None:
        left, right = kind(), kind()
        async with running(world, topic, left) as one:
            await publish(world, topic, records(topic, 100))
            await until(lambda: len(left.done) >= 100)
            async with running(world, topic, right) as two:
                await until(lambda: two.partitions() >= 1 and one.partitions() + two.partitions() == topic.partitions)
                # Cooperative: what did not move was never taken away.
                assert one.metric(_changes(topic, "revoked")) == two.partitions()
                await publish(world, topic, records(topic, 200, first=100))
                await until(lambda: len(left.done) + len(right.done) >= 300)
                assert Counter(left.values() + right.values()) == values(300)
                assert left.done[100:]
                assert right.done
            # It left in order: the other has all of it again.
            await until(lambda: one.partitions() == topic.partitions)
            await publish(world, topic, records(topic, 50, first=300))
            await until(lambda: len(left.done) + len(right.done) >= 350)

    run_real(main())


def test_handlers_of_a_partition_that_moves_may_finish_and_are_not_done_again(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        left, right = Noting(gate=gate), Noting()
        await publish(world, topic, records(topic, 60))
        async with running(world, topic, left, consumer=settings(inflight_max=60, revoke_grace_seconds=20)) as one:
            await until(lambda: len(left.began) == 60)
            asked = _asked_back(one)
            async with running(world, topic, right) as two:
                await until(asked.is_set)
                gate.set()
                await until(lambda: two.partitions() >= 1)
                await publish(world, topic, records(topic, 30, first=60))
                await until(lambda: len(left.done) + len(right.done) >= 90)
                assert values(60) <= Counter(left.values())
        assert Counter(left.values() + right.values()) == values(90)

    run_real(main())


def test_what_is_not_finished_within_the_grace_is_done_by_the_next_owner(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        left, right = Noting(gate=asyncio.Event()), Noting()
        await publish(world, topic, records(topic, 60))
        async with running(world, topic, left, consumer=settings(inflight_max=60, revoke_grace_seconds=0.2)) as one:
            await until(lambda: len(left.began) == 60)
            async with running(world, topic, right) as two:
                await until(lambda: two.partitions() >= 1 and one.partitions() + two.partitions() == topic.partitions)
                theirs = {lane.claim.partition for lane in two.consumer._lanes.all()}
                moved = [message for message in left.began if message.partition in theirs]
                await until(lambda: len(right.done) >= len(moved))
                assert Counter(right.values()) == Counter(message.value for message in moved)
                assert not left.done
                one.consumer.terminate()

    run_real(main())


@BOTH
def test_a_full_buffer_pauses_and_keeps_the_membership(world: World, topic: TopicSpec, kind: type[Noting]) -> None:
    """The handler stands still for longer than a session: nobody else gets the partitions, and memory is bounded."""

    async def main() -> None:
        gate = asyncio.Event()
        handler = kind(gate=gate)
        await publish(world, topic, records(topic, 3_000))
        limits = settings(held_messages_max=90, poll_records_max=30, inflight_max=10)
        async with running(world, topic, handler, consumer=limits) as one:
            held = f'headrace_consumer_held_messages{{topic="{topic.name}"}}'
            await until(lambda: one.metric(held) >= 90)
            # Behind the pause came what was on its way, and then nothing more.
            await asyncio.sleep(0 if world.memory else 2 * limits.session_timeout_ms / 1000)
            assert one.metric(held) <= 90 + topic.partitions * 30
            gate.set()
            await until(lambda: len(handler.done) >= 3_000)
            assert Counter(handler.values()) == values(3_000)
            assert one.metric(_changes(topic, "lost")) == 0

    run_real(main())


@BOTH
def test_what_a_handler_will_not_take_goes_elsewhere_and_the_others_go_on(
    world: World, topic: TopicSpec, kind: type[Noting]
) -> None:
    async def main() -> None:
        errors = {b"v3": PoisonError("bad"), b"v4": RetryLaterError("busy"), b"v5": NewerSchemaError("2")}
        handler = kind(raises={**errors, b"v6": ZeroDivisionError("a bug")})
        await publish(world, topic, records(topic, 50))
        async with running(world, topic, handler) as one:
            await until(lambda: len(handler.done) + len(one.letters.letters) >= 50)
            assert one.letters.values("dead") == [b"v3"]
            assert sorted(one.letters.values("retry")) == [b"v4", b"v6"]
            assert one.letters.values("parked") == [b"v5"]
            assert len(handler.done) == 46
            causes = {letter.message.value: letter.error for letter in one.letters.letters}
            assert causes[b"v3"] is errors[b"v3"]
        last = kind()
        async with running(world, topic, last):
            await publish(world, topic, records(topic, 1, first=50))
            await until(lambda: bool(last.done))
            assert last.values() == [b"v50"]

    run_real(main())


@BOTH
def test_a_message_that_cannot_be_moved_is_not_committed(world: World, topic: TopicSpec, kind: type[Noting]) -> None:
    async def main() -> None:
        handler = kind(raises={b"v0": PoisonError("bad")})
        await publish(world, topic, records(topic, 1))
        async with running(world, topic, handler) as one:
            one.letters.fails_with = BrokerUnavailableError("away")
            await until(lambda: bool(handler.began))
            await one.crash()
            assert not one.letters.letters
        again = kind(raises={b"v0": PoisonError("bad")})
        async with running(world, topic, again) as two:
            two.letters.fails_with = BrokerUnavailableError("away")
            await until(lambda: bool(again.began))
            two.letters.fails_with = None
            await until(lambda: two.letters.values("dead") == [b"v0"])

    run_real(main())


@BOTH
def test_letters_that_say_stop_end_it_in_order(world: World, topic: TopicSpec, kind: type[Noting]) -> None:
    async def main() -> None:
        handler = kind(raises={b"v7": PoisonError("bad")})
        await publish(world, topic, records(topic, 8, keys=1))
        async with running(world, topic, handler) as one:
            one.letters.fails_with = StopConsumingError("100 dead letters in 60 s: look at the last deploy")
            with pytest.raises(StopConsumingError, match="last deploy"):
                await one.task
            assert one.consumer.phase is Phase.JOINED
            one.task = asyncio.ensure_future(asyncio.sleep(0))
        again = kind()
        async with running(world, topic, again):
            await until(lambda: b"v7" in again.values())

    run_real(main())


def test_a_large_message_comes_whole_among_small_ones(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        size = 900_000 if world.kind == "embedded" else 10 * 2**20
        large = Record(topic.name, b"k4", b"x" * size)
        handler = Noting()
        limits = {"record_bytes_max": size + 1_000}
        await publish(world, topic, [*records(topic, 20), large, *records(topic, 20, first=21)], **limits)
        async with running(world, topic, handler, consumer=settings(held_bytes_max=2**20)):
            await until(lambda: len(handler.done) >= 41)
            assert max(len(message.value) for message in handler.done) == size

    run_real(main())


def test_an_unknown_topic_is_waited_for(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        handler = Noting()
        async with running(world, topic, handler, create_topics=False) as one:
            await until(lambda: one.consumer._outage.on)
            await publish(world, topic, records(topic, 20))
            await until(lambda: len(handler.done) >= 20)
            assert not one.consumer._outage.on

    run_real(main())


def test_a_broker_that_goes_and_comes_back_costs_nothing_but_time(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        handler = Noting()
        async with running(world, topic, handler, send_timeout_ms=2_000) as one:
            await publish(world, topic, records(topic, 50))
            await until(lambda: len(handler.done) >= 50)
            world.kill()
            try:
                await until(lambda: one.consumer._outage.on)
            finally:
                world.start()
            await publish_at_last(world, topic, records(topic, 50, first=50))
            await until(lambda: values(50, first=50) <= Counter(handler.values()))
            assert set(handler.values()) == set(values(100))
            await until(lambda: not one.consumer._outage.on)

    run_real(main())


def test_a_member_that_was_held_up_has_its_commits_refused(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        zombie, heir = Noting(gate=gate), Noting()
        await publish(world, topic, records(topic, 60))
        async with running(world, topic, zombie, consumer=settings(inflight_max=60)) as one:
            await until(lambda: len(zombie.began) == 60)
            claims = [lane.claim for lane in one.consumer._lanes.all()]
            world.hold(one.source, 3 * settings().session_timeout_ms / 1000)
            async with running(world, topic, heir) as two:
                await until(lambda: len(heir.done) >= 60)
                # What the zombie still believes to be its own.
                await until(lambda: _refused(one, claims))
                world.go_on(one.source)
                await until(lambda: one.partitions() + two.partitions() == topic.partitions)
                gate.set()
                await publish(world, topic, records(topic, 60, first=60))
                await until(lambda: values(60, first=60) <= Counter(zombie.values() + heir.values()))
                assert one.metric(_changes(topic, "lost")) == 3
        assert Counter(heir.values()) & values(60) == values(60)

    run_real(main())


def test_closing_begins_nothing_and_lets_what_runs_finish(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        handler = Noting(gate=gate)
        await publish(world, topic, records(topic, 40))
        async with running(world, topic, handler, consumer=settings(inflight_max=10)) as one:
            await until(lambda: len(handler.began) == 10)
            draining = asyncio.ensure_future(one.consumer.drain(20))
            await until(lambda: one.consumer.phase is Phase.CLOSED)
            gate.set()
            await draining
            await one.task
            assert one.consumer.phase is Phase.JOINED
            assert len(handler.done) == 10
        last = Noting()
        async with running(world, topic, last):
            await until(lambda: len(last.done) >= 30)
            assert Counter(last.values() + handler.values()) == values(40)

    run_real(main())


def test_terminating_cuts_handlers_off_and_commits_nothing_of_theirs(world: World, topic: TopicSpec) -> None:
    async def main() -> None:
        handler = Noting(gate=asyncio.Event())
        await publish(world, topic, records(topic, 40))
        async with running(world, topic, handler, consumer=settings(inflight_max=10)) as one:
            await until(lambda: len(handler.began) == 10)
            await one.consumer.join(0.0)
            await one.task
            assert not handler.done
        last = Noting()
        async with running(world, topic, last):
            await until(lambda: len(last.done) >= 40)
            assert Counter(last.values()) == values(40)

    run_real(main())


async def _refused(one: Running, claims: list[Claim]) -> bool:
    """A member that wakes up may not find its coordinator at once."""
    try:
        refused = await one.source.commit(dict.fromkeys(claims, 1_000))
    except BrokerUnavailableError:
        return False
    assert set(refused) == set(claims)
    return True


def _asked_back(one: Running) -> asyncio.Event:
    """Set when partitions are to be given up."""
    asked, finish = asyncio.Event(), one.consumer._work.finish

    async def noting(lanes: Collection[Lane], seconds: float) -> None:
        asked.set()
        await finish(lanes, seconds)

    one.consumer._work.finish = noting  # type: ignore[method-assign]
    return asked


def _changes(topic: TopicSpec, change: str) -> str:
    return f'headrace_consumer_partition_changes_total{{change="{change}",topic="{topic.name}"}}'
