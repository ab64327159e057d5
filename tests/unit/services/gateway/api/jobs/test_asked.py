"""How answers are written to clients that read slowly, or not at all."""

import asyncio

import pytest

from libs.testing.loop import run
from services.gateway.api.connection import EXTENSION
from services.gateway.api.gone import ClientGoneError
from services.gateway.api.jobs.asked import Asked, AskedTimes
from services.gateway.domain.turns import Principal

ANN = Principal("acme", "key-1")


class Client:
    """Takes a number of bytes a second; `send` waits for it, as it does once a connection's buffer is full."""

    def __init__(self, rate):
        self.rate, self.messages, self.aborted = rate, [], False

    async def send(self, message):
        await asyncio.sleep(len(message["body"]) / self.rate if self.rate else 1e9)
        self.messages.append((message["body"], message["more_body"]))

    def abort(self):
        self.aborted = True

    def asked(self, stall=5.0):
        scope = {"method": "GET", "headers": [], "extensions": {EXTENSION: self}}
        return Asked(scope, None, self.send, ANN, "req-1", AskedTimes(stall=stall))


@pytest.mark.parametrize("size", [0, 1, 65_536, 65_537, 2**20, 4 * 2**20 + 1])
@pytest.mark.parametrize("last", [False, True])
def test_who_reads_slowly_gets_all_of_a_large_piece(size, last):
    async def main():
        client, chunk = Client(rate=20_000), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        await client.asked().write(chunk, last=last)
        assert b"".join(body for body, _ in client.messages) == chunk
        assert [more for _, more in client.messages] == [True] * (len(client.messages) - 1) + [not last]
        assert not client.aborted

    run(main())


def test_who_reads_nothing_is_cut():
    async def main():
        client = Client(rate=0)
        began = asyncio.get_running_loop().time()
        with pytest.raises(ClientGoneError):
            await client.asked().write(b"x" * 2**20)
        assert (client.aborted, asyncio.get_running_loop().time() - began) == (True, pytest.approx(5.0))

    run(main())
