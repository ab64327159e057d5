"""A link over a scripted pipe: what it does with a dead, silent, blocked or babbling peer, at every frame."""

import asyncio
import time

import pytest
from headrace.common.v1.trunk_pb2 import ConnectRequest, ConnectResponse, Frame, Ping

from libs.rpc.trunk.limits import TrunkLimits
from libs.rpc.trunk.link import Link

FAST = TrunkLimits(ping_seconds=0.02, silent_seconds=0.2, write_seconds=0.1)


class Pipe:
    """Reads what the test puts in; keeps what is written; can block."""

    def __init__(self):
        self.incoming = asyncio.Queue()
        self.written = []
        self.blocked = False

    def put(self, *frames):
        self.incoming.put_nowait(ConnectResponse(frames=frames).SerializeToString())

    async def read(self):
        item = await self.incoming.get()
        if isinstance(item, Exception):
            raise item
        return item

    async def write(self, data):
        while self.blocked:
            await asyncio.sleep(0.01)
        self.written.append(ConnectRequest.FromString(data))


def link_of(pipe, frames):
    return Link(
        pipe, FAST, sends=ConnectRequest, receives=ConnectResponse, on_frame=lambda _, frame: frames.append(frame)
    )


def run(scenario):
    async def whole():
        pipe, frames = Pipe(), []
        async with asyncio.timeout(5):
            return await scenario(pipe, frames, link_of(pipe, frames))

    return asyncio.run(whole())


def test_frames_are_handed_on_in_order():
    async def scenario(pipe, frames, link):
        pipe.put(Frame(call=1, data=b"a"), Frame(call=2, data=b"b"))
        pipe.put(Frame(call=1, data=b"c"))
        pipe.incoming.put_nowait(None)
        assert "ended" in await link.run()
        assert [(f.call, f.data) for f in frames] == [(1, b"a"), (2, b"b"), (1, b"c")]

    run(scenario)


def test_a_ping_is_answered():
    async def scenario(pipe, _, link):
        task = asyncio.ensure_future(link.run())
        pipe.put(Frame(ping=Ping(id=7)))
        while not any(f.ping.ack and f.ping.id == 7 for m in pipe.written for f in m.frames):
            await asyncio.sleep(0.005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_silent_peer_is_dead():
    async def scenario(_, __, link):
        assert "nothing was heard" in await link.run()

    run(scenario)


def test_a_peer_that_answers_pings_is_not():
    async def scenario(pipe, _, link):
        async def answer():
            while True:
                await asyncio.sleep(0.05)
                pipe.put(Frame(ping=Ping(id=1, ack=True)))

        answering = asyncio.ensure_future(answer())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(link.run(), 0.6)
        answering.cancel()

    run(scenario)


def test_a_blocked_write_is_a_dead_trunk():
    async def scenario(pipe, _, link):
        pipe.blocked = True

        async def chatter():
            while True:
                await asyncio.sleep(0.05)
                pipe.put(Frame(ping=Ping(id=1, ack=True)))

        chatting = asyncio.ensure_future(chatter())
        assert "write was blocked" in await link.run()
        chatting.cancel()

    run(scenario)


def test_an_undecodable_message_ends_the_trunk():
    async def scenario(pipe, frames, link):
        pipe.put(Frame(call=1, data=b"a"))
        pipe.incoming.put_nowait(b"\xff\xff\xff")
        assert "decoded" in await link.run()
        assert len(frames) == 1

    run(scenario)


def test_a_message_over_the_limit_ends_the_trunk_before_anybody_sees_it():
    async def scenario(pipe, frames, link):
        pipe.put(Frame(call=1, data=b"x" * (4 * FAST.message_bytes - 100)))
        pipe.put(Frame(call=1, data=b"x" * (4 * FAST.message_bytes)))
        assert "over the limit" in await link.run()
        assert len(frames) == 1

    run(scenario)


@pytest.mark.parametrize("after", range(4))
def test_a_loss_after_any_frame_keeps_what_came_before(after):
    async def scenario(pipe, frames, link):
        for number in range(after):
            pipe.put(Frame(call=1, data=b"%d" % number))
        pipe.incoming.put_nowait(ConnectionResetError())
        assert "lost" in await link.run()
        assert [f.data for f in frames] == [b"%d" % n for n in range(after)]
        assert link.lost

    run(scenario)


def test_what_gets_ready_while_a_write_is_blocked_goes_out_together():
    async def scenario(pipe, _, link):
        task = asyncio.ensure_future(link.run())
        pipe.blocked = True
        for number in range(5):
            link.outbox.data(number + 1, b"x")
            link.kick()
            await asyncio.sleep(0.003)
        pipe.blocked = False
        while sum(len(m.frames) for m in pipe.written) < 5:
            await asyncio.sleep(0.005)
        sizes = [sum(1 for f in m.frames if f.call) for m in pipe.written]
        assert max(sizes) >= 4
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(scenario)


def test_a_message_of_many_frames_lets_other_tasks_in_between():
    async def scenario(pipe, _, link):
        seen, at_other_turns = [], []

        def slow(number, frame):
            began = time.perf_counter()
            while time.perf_counter() - began < 0.0002:  # 16 of them are longer than a turn
                pass
            seen.append(number)

        async def other():
            while len(seen) < 200:
                at_other_turns.append(len(seen))
                await asyncio.sleep(0)

        link = Link(pipe, FAST, sends=ConnectRequest, receives=ConnectResponse, on_frame=slow)
        pipe.put(*[Frame(call=number, data=b"x") for number in range(1, 201)])
        pipe.incoming.put_nowait(None)
        await asyncio.gather(link.run(), other())
        assert seen == list(range(1, 201))
        assert len({count for count in at_other_turns if 0 < count < 200}) >= 10

    run(scenario)


def test_what_came_before_a_lost_write_is_handed_on():
    async def scenario(pipe, _, __):
        seen = []

        def slow(number, frame):
            began = time.perf_counter()
            while time.perf_counter() - began < 0.0002:  # the message takes many turns
                pass
            seen.append(number)
            link.outbox.control(Frame(call=number, credit=1))
            link.kick()

        async def lost(_data):
            raise ConnectionResetError

        link = Link(pipe, FAST, sends=ConnectRequest, receives=ConnectResponse, on_frame=slow)
        pipe.write = lost
        pipe.put(*[Frame(call=number, data=b"x") for number in range(1, 101)])
        pipe.put(Frame(call=101, data=b"x"))
        pipe.incoming.put_nowait(None)
        assert "while writing" in await link.run()
        assert seen == list(range(1, 102))

    run(scenario)
