"""The stream over real sockets in a directory, from a publisher that speaks as vLLM's does."""

from __future__ import annotations

import asyncio
import stat
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.asyncio

from libs.block_hash import block_hashes
from libs.chat_template import pack
from libs.testing.loop import run_real
from services.inference.adapters.vllm import kv_stream
from services.inference.adapters.vllm.engine_blocks import BlockStored, EventBatch
from services.inference.adapters.vllm.kv_stream import KvStream
from services.inference.domain.cached_blocks import CachedBlocks

SIZE = 4
LIMIT = 10.0


def batch(first, group=None):
    event = BlockStored([b"%d" % first], None, [first] * SIZE, SIZE, medium="GPU", group_idx=group)
    return msgspec.msgpack.encode(EventBatch(0.0, [event]))


def key(first):
    return block_hashes(pack([first] * SIZE), SIZE, "").tolist()[0]


class Publisher:
    """Numbers, keeps the last `kept` batches, repeats them on request."""

    def __init__(self, endpoints, kept=100):
        self._context = zmq.asyncio.Context()
        self._pub, self._router = self._context.socket(zmq.PUB), self._context.socket(zmq.ROUTER)
        self._pub.bind(endpoints.events)
        self._router.bind(endpoints.repeats)
        self._kept, self._batches, self._number = kept, [], 0
        self.answers, self.prompt = True, asyncio.Event()
        self.prompt.set()
        self.answered = 0
        self._task = asyncio.create_task(self._repeat())

    async def publish(self, payload, *, lost=False):
        self._batches = [*self._batches, (self._number, payload)][-self._kept :]
        if not lost:
            await self._pub.send_multipart([b"", self._number.to_bytes(8, "big"), payload])
        self._number += 1

    async def _repeat(self):
        while True:
            who, _, start = await self._router.recv_multipart()
            if not self.answers:
                continue
            await self.prompt.wait()
            for number, payload in self._batches:
                if number >= int.from_bytes(start, "big"):
                    await self._router.send_multipart([who, b"", b"", number.to_bytes(8, "big"), payload])
            await self._router.send_multipart([who, b"", b"", (-1).to_bytes(8, "big", signed=True), b""])
            self.answered += 1

    async def close(self):
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._context.destroy(linger=0)


class Rig:
    def __init__(self, kept):
        self.cache = CachedBlocks(1000)
        self.stream = KvStream(self.cache)
        self.endpoints = self.stream.open()
        self.publisher = Publisher(self.endpoints, kept)

    async def holds(self, *firsts):
        async with asyncio.timeout(LIMIT):
            while set(self.cache._held) != {key(first) for first in firsts}:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def rig(kept=100):
    made = Rig(kept)
    try:
        yield made
    finally:
        await made.stream.close()
        await made.publisher.close()


def test_it_has_what_was_told_before_it_began_and_what_comes_after():
    async def scenario():
        async with rig() as here:
            await here.publisher.publish(batch(1), lost=True)
            assert await here.stream.begin(SIZE)
            await here.holds(1)
            await here.publisher.publish(batch(2))
            await here.holds(1, 2)

    run_real(scenario())


def test_what_the_socket_lost_is_asked_for_again():
    async def scenario():
        async with rig() as here:
            assert await here.stream.begin(SIZE)
            await here.publisher.publish(batch(1))
            await here.holds(1)
            for first in (2, 3):
                await here.publisher.publish(batch(first), lost=True)
            await here.publisher.publish(batch(4))
            await here.holds(1, 2, 3, 4)

    run_real(scenario())


def test_a_lost_batch_that_none_follows_is_asked_for_too(monkeypatch):
    monkeypatch.setattr(kv_stream, "_IDLE_SECONDS", 0.05)

    async def scenario():
        async with rig() as here:
            assert await here.stream.begin(SIZE)
            await here.publisher.publish(batch(1), lost=True)
            await here.holds(1)

    run_real(scenario())


def test_what_nobody_has_any_more_makes_it_forget_and_go_on():
    async def scenario():
        async with rig(kept=2) as here:
            assert await here.stream.begin(SIZE)
            await here.publisher.publish(batch(1))
            await here.holds(1)
            for first in (2, 3, 4):
                await here.publisher.publish(batch(first), lost=True)
            await here.publisher.publish(batch(5))
            await here.holds(4, 5)
            await here.publisher.publish(batch(6))
            await here.holds(4, 5, 6)

    run_real(scenario())


def test_an_engine_that_does_not_answer_is_one_without_events(monkeypatch):
    monkeypatch.setattr(kv_stream, "_REPEAT_SECONDS", 0.1)

    async def scenario():
        async with rig() as here:
            here.publisher.answers = False
            return await here.stream.begin(SIZE), len(here.cache)

    assert run_real(scenario()) == (False, 0)


def test_an_answer_that_comes_late_is_not_taken_for_the_next_one(monkeypatch):
    async def scenario():
        async with rig() as here:
            assert await here.stream.begin(SIZE)
            await here.publisher.publish(batch(1))
            await here.holds(1)
            monkeypatch.setattr(kv_stream, "_REPEAT_SECONDS", 0.1)
            here.publisher.prompt.clear()
            await here.publisher.publish(batch(2), lost=True)
            await here.publisher.publish(batch(3))
            await here.holds(3)  # it could not wait
            answered = here.publisher.answered
            here.publisher.prompt.set()
            async with asyncio.timeout(LIMIT):
                while here.publisher.answered == answered:
                    await asyncio.sleep(0.005)
            monkeypatch.setattr(kv_stream, "_REPEAT_SECONDS", LIMIT)
            await here.publisher.publish(batch(4), lost=True)
            await here.publisher.publish(batch(5))
            await here.holds(3, 4, 5)

    run_real(scenario())


@pytest.mark.parametrize("payload", [b"\xc1nonsense", batch(9, group=1)])
@pytest.mark.parametrize("early", [True, False])
def test_what_it_does_not_understand_ends_it_with_nothing_held(payload, early):
    async def scenario():
        async with rig() as here:
            await here.publisher.publish(batch(1), lost=True)
            if early:
                await here.publisher.publish(payload, lost=True)
            began = await here.stream.begin(SIZE)
            if not early:
                await here.holds(1)
                await here.publisher.publish(payload)
            await here.holds()
            return began, here.stream.listens

    assert run_real(scenario()) == (not early, False)


def test_its_sockets_are_this_users_alone_and_go_with_it():
    async def scenario():
        async with rig() as here:
            directory = Path(here.endpoints.events.removeprefix("ipc://")).parent
            mode = stat.S_IMODE(directory.stat().st_mode)
            assert all(address.startswith("ipc://") for address in (here.endpoints.events, here.endpoints.repeats))
        await here.stream.close()
        return mode, directory.exists()

    assert run_real(scenario()) == (0o700, False)
