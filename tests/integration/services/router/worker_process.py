"""A fake worker in a process of its own: python worker_process.py NAME TOKEN. Prints its port."""

import asyncio
import sys

from libs import ids
from libs.clock import SystemClock
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from tests.unit.services.router.fake_worker import FakeWorker


async def main(name, token, port):
    worker = FakeWorker(name, boot=ids.boot_id())
    server = RpcServer(name, worker.handlers(), RpcServerSettings(port=int(port)), clock=SystemClock(), token=token)
    print(await server.start(), flush=True)  # noqa: T201 -- the parent reads it
    await server.set_serving(serving=True)
    await asyncio.Event().wait()


asyncio.run(main(*sys.argv[1:]))
