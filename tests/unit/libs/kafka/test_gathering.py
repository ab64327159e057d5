import asyncio

import pytest

from libs.kafka import BrokerUnavailableError, Record, RecordRefusedError
from libs.kafka.gathering import GatheringProducer
from libs.testing.loop import run


class Slow:
    """A producer whose sends last until they are let through; refuses values that begin with "bad"."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.gate = asyncio.Event()
        self.error: Exception | None = None

    async def send(self, records):
        self.sent.append([record.value for record in records])
        await self.gate.wait()
        if self.error:
            raise self.error
        if any(record.value.startswith(b"bad") for record in records):
            raise RecordRefusedError("too large")

    async def close(self):
        self.gate.set()


def record(value: bytes) -> Record:
    return Record("t", b"k", value)


async def asked(producer: GatheringProducer, *values: bytes) -> list[asyncio.Task[None]]:
    tasks = [asyncio.create_task(producer.send([record(value)])) for value in values]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


def test_what_waits_goes_out_together_in_order():
    async def main():
        slow = Slow()
        tasks = await asked(GatheringProducer(slow), b"1", b"2", b"3")
        slow.gate.set()
        await asyncio.gather(*tasks)
        assert slow.sent == [[b"1"], [b"2", b"3"]]

    run(main())


def test_a_refused_record_fails_its_own_caller_alone():
    async def main():
        slow = Slow()
        tasks = await asked(GatheringProducer(slow), b"1", b"2", b"bad", b"3")
        slow.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(each) for each in done] == [type(None), type(None), RecordRefusedError, type(None)]

    run(main())


def test_a_broker_that_is_away_fails_all_of_the_batch():
    async def main():
        slow = Slow()
        tasks = await asked(GatheringProducer(slow), b"1", b"2")
        slow.error = BrokerUnavailableError("away")
        slow.gate.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        assert all(isinstance(each, BrokerUnavailableError) for each in done)

    run(main())


def test_a_cancelled_caller_takes_nobody_along():
    async def main():
        slow = Slow()
        producer = GatheringProducer(slow)
        first = await asked(producer, b"1")
        second = await asked(producer, b"2", b"3")
        first[0].cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        second[0].cancel()  # has the turn, and sends for the third as well
        slow.gate.set()
        done = await asyncio.gather(*first, *second, return_exceptions=True)
        assert [type(each) for each in done] == [asyncio.CancelledError, asyncio.CancelledError, type(None)]
        assert slow.sent[-1] == [b"3"]

    run(main())


def test_one_that_is_cancelled_before_its_turn_sends_nothing():
    async def main():
        slow = Slow()
        tasks = await asked(GatheringProducer(slow), b"1", b"2", b"3")
        tasks[1].cancel()
        await asyncio.sleep(0)
        slow.gate.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slow.sent == [[b"1"], [b"3"]]

    run(main())


def test_batches_are_bounded():
    async def main():
        slow = Slow()
        tasks = await asked(GatheringProducer(slow), *[b"x" * 3_000_000] * 5)
        slow.gate.set()
        await asyncio.gather(*tasks)
        assert [len(batch) for batch in slow.sent] == [1, 2, 2]

    run(main())


def test_close_goes_through():
    async def main():
        slow = Slow()
        await GatheringProducer(slow).close()
        assert slow.gate.is_set()
        with pytest.raises(RecordRefusedError):
            await GatheringProducer(slow).send([record(b"bad")])

    run(main())
