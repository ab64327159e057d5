"""A trunk's plain connection: framing, limits, backpressure, and who is let in."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.rpc.trunk.sockets import TICKET_BYTES, SocketDoor, SocketPipe, connect
from libs.testing.loop import run_real

LIMIT = 1 << 20


class Transport:
    """What a pipe asks of its transport."""

    def __init__(self):
        self.written, self.closed, self.reading = b"", False, True

    def set_write_buffer_limits(self, high):
        self.high = high

    def write(self, data):
        self.written += data

    def close(self):
        self.closed = True

    def abort(self):
        self.closed = True

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True


def pipe_of(limit=LIMIT):
    pipe, transport = SocketPipe(limit), Transport()
    pipe.connection_made(transport)
    return pipe, transport


def framed(*messages):
    return b"".join(len(message).to_bytes(4, "little") + message for message in messages)


async def all_of(pipe):
    found = []
    while (message := await pipe.read()) is not None:
        found.append(message)
    return found


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), min_size=1, max_size=50))
def test_messages_come_whole_and_in_order_however_the_bytes_are_cut(messages, sizes):
    async def scenario():
        pipe, _ = pipe_of()
        data, at = framed(*messages), 0
        while at < len(data):
            for size in sizes:
                pipe.data_received(data[at : at + size])
                at += size
        pipe.connection_lost(None)
        assert await all_of(pipe) == messages

    asyncio.run(scenario())


def test_what_is_written_can_be_read():
    async def scenario():
        (ours, transport), (theirs, _) = pipe_of(), pipe_of()
        await ours.write(b"one")
        await ours.write(b"")
        theirs.data_received(transport.written)
        assert [await theirs.read(), await theirs.read()] == [b"one", b""]

    asyncio.run(scenario())


def test_a_message_over_the_limit_ends_the_connection_before_it_is_kept():
    async def scenario():
        pipe, transport = pipe_of(limit=100)
        pipe.data_received(framed(b"fine") + (101).to_bytes(4, "little"))
        assert transport.closed
        assert await pipe.read() == b"fine"
        with pytest.raises(ConnectionError, match="101 bytes"):
            await pipe.read()

    asyncio.run(scenario())


def test_a_loss_wakes_the_reader_and_the_writer_and_is_told():
    async def scenario():
        pipe, _ = pipe_of()
        pipe.pause_writing()
        reader, writer = asyncio.ensure_future(pipe.read()), asyncio.ensure_future(pipe.write(b"x"))
        await asyncio.sleep(0)
        pipe.connection_lost(ConnectionResetError("gone"))
        with pytest.raises(ConnectionResetError):
            await reader
        await writer
        with pytest.raises(ConnectionResetError):
            await pipe.write(b"more")

    asyncio.run(scenario())


def test_a_full_connection_holds_the_writer_until_it_has_room():
    async def scenario():
        pipe, transport = pipe_of()
        pipe.pause_writing()
        writer = asyncio.ensure_future(pipe.write(b"x"))
        await asyncio.sleep(0.01)
        assert transport.written == framed(b"x")
        assert not writer.done()
        pipe.resume_writing()
        await writer

    asyncio.run(scenario())


def test_a_link_that_does_not_read_stops_the_peer_and_lets_it_go_on_later():
    async def scenario():
        pipe, transport = pipe_of(limit=4 << 20)
        for _ in range(3):
            pipe.data_received(framed(b"x" * (3 << 20)))
        assert not transport.reading
        await pipe.read()
        assert transport.reading

    asyncio.run(scenario())


async def opened(seconds=0.2):
    door = SocketDoor(LIMIT, seconds)
    await door.open("127.0.0.1", 0)
    return door


async def knock(door, data):
    """What comes back from the door, and whether it closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 2)
    except ConnectionError:
        return b""
    finally:
        writer.close()


@pytest.mark.parametrize(
    "shown",
    [b"", framed(b"t" * TICKET_BYTES), framed(b"t" * (TICKET_BYTES + 1)), (1 << 20).to_bytes(4, "little")],
    ids=["nothing", "a wrong one", "a long one", "a huge one"],
)
def test_who_shows_no_valid_ticket_is_cut(shown):
    async def scenario():
        door = await opened()
        door.ticket()
        assert await knock(door, shown) == b""
        door.close()

    run_real(scenario())


def test_a_ticket_lets_one_connection_in_once():
    async def scenario():
        door = await opened()
        ticket = door.ticket()
        client = await connect("127.0.0.1", door.port, ticket, message_bytes_max=LIMIT, seconds=1)
        server = await door.enter(ticket)
        await client.write(b"y" * 1000)  # more than a stranger may send
        assert await server.read() == b"y" * 1000
        assert await knock(door, framed(ticket)) == b""
        await server.write(b"last")
        server.close()
        assert await all_of(client) == [b"last"]
        client.close()
        door.close()

    run_real(scenario())


def test_a_ticket_that_is_void_lets_nobody_in_and_puts_out_who_came_with_it():
    async def scenario():
        door = await opened(seconds=5)
        ticket = door.ticket()
        door.void(ticket)
        door.void(ticket)
        assert await knock(door, framed(ticket)) == b""
        ticket = door.ticket()
        client = await connect("127.0.0.1", door.port, ticket, message_bytes_max=LIMIT, seconds=1)
        await asyncio.sleep(0.05)
        door.void(ticket)
        assert await all_of(client) == []
        client.close()
        door.close()

    run_real(scenario())


def test_nobody_who_comes_is_noticed():
    async def scenario():
        door = await opened(seconds=0.05)
        with pytest.raises(TimeoutError):
            await door.enter(door.ticket())
        door.close()

    run_real(scenario())


def test_a_door_that_is_not_there_gives_no_connection():
    async def scenario():
        door = await opened()
        door.close()
        assert await connect("127.0.0.1", door.port, b"t" * 16, message_bytes_max=LIMIT, seconds=1) is None

    run_real(scenario())


@pytest.mark.parametrize("answer", [b"", framed(b"x" * TICKET_BYTES)], ids=["silence", "another's ticket"])
def test_a_connection_that_ends_at_somebody_else_is_none(answer):
    async def scenario():
        async def other(reader, writer):
            writer.write(answer)
            await reader.read()
            writer.close()

        server = await asyncio.start_server(other, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert await connect("127.0.0.1", port, b"t" * TICKET_BYTES, message_bytes_max=LIMIT, seconds=0.2) is None
        server.close()

    run_real(scenario())


def test_a_closed_connection_whose_peer_takes_nothing_is_dropped_after_a_moment(monkeypatch):
    monkeypatch.setattr("libs.rpc.trunk.sockets._LINGER_SECONDS", 0.1)

    async def scenario():
        door = await opened(seconds=5)
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        ticket = door.ticket()
        writer.write(framed(ticket))
        pipe = await door.enter(ticket)
        writing = asyncio.ensure_future(pipe.write(b"x" * (32 << 20)))  # more than all buffers hold
        await asyncio.sleep(0.05)
        pipe.close()
        await asyncio.wait_for(writing, 2)
        with pytest.raises(ConnectionError):
            await pipe.write(b"y")
        writer.close()
        door.close()
        assert reader is not None

    run_real(scenario())
