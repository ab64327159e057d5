"""Real worker processes that are killed, frozen and started again, behind both transports."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from libs.clock import SystemClock
from libs.rpc.dial import dial
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from services.router.main import Ports, compose
from services.router.settings import RouterSettings
from services.router.usecases.placing import PlaceQuery
from tests.unit.services.router.fake_choice import choice_ports
from tests.unit.services.router.fake_store import FakeStore

ROOT = Path(__file__).parents[4]
TOKEN = "integration"


class WorkerProcess:
    """A fake worker behind a real port."""

    def __init__(self, name, port=0):
        command = [sys.executable, str(Path(__file__).with_name("worker_process.py")), name, TOKEN, str(port)]
        env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'protos/gen'}"}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        self._port = port

    @property
    def port(self):
        self._port = self._port or int(self.process.stdout.readline())
        return self._port

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def signal(self, number):
        self.process.send_signal(number)
        return time.monotonic()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def workers():
    made = [WorkerProcess(name) for name in ("w0", "w1")]
    yield made
    for worker in made:
        worker.close()


@asynccontextmanager
async def router_over(workers, transport):
    settings = RouterSettings(workers=tuple(worker.address for worker in workers), workers_transport=transport)

    def connect(address):
        return dial(address, transport, identity="router", token=TOKEN)

    made = compose(settings, Ports(FakeStore(), connect, SystemClock(), Registry(), choice_ports()))
    tasks = [asyncio.create_task(loop()) for loop in made.loops.values()]
    try:
        await until(lambda: live(made) == ["w0", "w1"], 10)
        yield made
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await until(lambda: len(asyncio.all_tasks()) == 1, 5)  # gRPC's own, of closed channels


def live(made):
    entry = made.fleet.catalog.entries.get("m")
    return [worker.name for worker in entry.default.workers] if entry else []


async def until(condition, limit):
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize("transport", ["trunk", "grpc"])
def test_a_killed_worker_leaves_at_once_and_comes_back_with_its_sessions(workers, transport):
    async def scenario():
        async with router_over(workers, transport) as made:
            query = PlaceQuery("t", "m", "", "s", "", frozenset())
            first = (await made.placing.place(query)).places[0].worker
            lost = next(worker for worker in workers if worker.address == first.address)
            boot = first.boot_id
            killed = lost.signal(signal.SIGKILL)
            await until(lambda: first.name not in live(made), 1.0)
            assert time.monotonic() - killed < 1.0
            lost.close()
            workers.remove(lost)
            workers.append(WorkerProcess(first.name, lost.port))
            await until(lambda: live(made) == ["w0", "w1"], 10)
            again = (await made.placing.place(query)).places[0]
            assert (again.worker.name, again.reason) == (first.name, "bound")
            assert again.worker.boot_id != boot

    run_real(scenario())


@pytest.mark.parametrize("transport", ["trunk", "grpc"])
def test_a_frozen_worker_leaves_within_a_second_and_returns_when_it_thaws(workers, transport):
    async def scenario():
        async with router_over(workers, transport) as made:
            frozen = workers[0].signal(signal.SIGSTOP)
            await until(lambda: live(made) == ["w1"], 2.0)
            # The promise, and some room for a busy test machine.
            assert time.monotonic() - frozen < 1.25
            workers[0].signal(signal.SIGCONT)
            await until(lambda: live(made) == ["w0", "w1"], 5)

    run_real(scenario())
