"""The probe of `headrace up` on the broker that it runs."""

from __future__ import annotations

import asyncio

from cli.supervisor.probes import broker_probe
from libs.testing.brokers import embedded_broker, free_port
from libs.testing.loop import run_real


def test_a_broker_serves_when_it_answers_and_not_when_it_only_listens() -> None:
    async def main() -> None:
        with embedded_broker() as broker:
            probe = broker_probe(broker.port)
            assert await probe() == (True, "")
            broker.freeze()
            try:
                assert await probe() == (False, "")
            finally:
                broker.thaw()
            assert await probe() == (True, "")
            broker.kill()
            assert await probe() == (False, "")

    run_real(main())


def test_something_else_on_the_port_is_no_broker() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        port = free_port()
        async with await asyncio.start_server(answer, "127.0.0.1", port):
            assert await broker_probe(port)() == (False, "")

    run_real(main())
