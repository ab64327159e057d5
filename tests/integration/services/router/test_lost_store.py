"""The composed router over a real Valkey that freezes, dies and comes back."""

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.router.adapters.bindings import ValkeyBindings
from services.router.main import Ports, compose
from services.router.settings import RouterSettings
from services.router.usecases.placing import PlaceQuery
from tests.unit.services.router.fake_choice import choice_ports
from tests.unit.services.router.fake_worker import FakeWorker
from tests.unit.services.router.test_following import Net


@asynccontextmanager
async def replica(server, op_timeout_ms=50):
    net = Net({f"{name}:1": FakeWorker(name) for name in ("w0", "w1", "w2")})
    valkey = Valkey(server.settings(op_timeout_ms=op_timeout_ms))
    await valkey.ready()
    settings = RouterSettings(workers=tuple(net.workers))
    store = ValkeyBindings(valkey, settings.bindings.ttl_seconds)
    made = compose(settings, Ports(store, net.dial, SystemClock(), Registry(), choice_ports()))
    tasks = [asyncio.create_task(loop()) for loop in made.loops.values()]
    await until(lambda: "m" in made.fleet.catalog.entries and len(made.fleet.pool("m", "").workers) == 3)
    try:
        yield made, valkey, net
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await valkey.close()


async def until(condition, limit=5.0):
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.002)


async def place(made, session):
    began = time.monotonic()
    placed = await made.placing.place(PlaceQuery("t", "m", "", session, "", frozenset()))
    return placed, time.monotonic() - began


@pytest.fixture
def server():
    with ValkeyProcess() as process:
        yield process


def test_a_frozen_store_delays_one_call_and_known_sessions_not_at_all(server):
    async def scenario():
        async with replica(server) as (made, valkey, _):
            known, _ = await place(made, "known")
            server.freeze()
            first, seconds = await place(made, "new-1")
            assert first.uncertain
            assert 0.03 < seconds < 0.3
            second, seconds = await place(made, "new-2")
            assert second.uncertain
            assert seconds < 0.02
            again, seconds = await place(made, "known")
            assert (again.places[0].worker, again.uncertain) == (known.places[0].worker, False)
            assert seconds < 0.02
            server.thaw()
            await until(lambda: valkey.up)
            bound, _ = await place(made, "new-2")
            assert (bound.places[0].worker, bound.version, bound.uncertain) == (second.places[0].worker, 1, False)

    run_real(scenario())


def test_a_store_that_lost_everything_gets_the_bindings_back(server):
    async def scenario():
        async with replica(server, op_timeout_ms=500) as (made, valkey, net):
            before, _ = await place(made, "s")
            server.kill()
            lost = before.places[0].worker
            net.kill(lost.address)
            await until(lambda: len(made.fleet.pool("m", "").workers) == 2)
            moved, _ = await place(made, "s")
            assert moved.uncertain
            server.start()
            await until(lambda: valkey.up)
            again, _ = await place(made, "s")
            assert (again.places[0].worker, again.uncertain) == (moved.places[0].worker, False)
            assert again.version == before.version + 1
            stored = await valkey.command("HGET", "hr:session:{t}:s", "worker")
            assert stored.decode() == moved.places[0].worker.name

    run_real(scenario())


def test_two_replicas_agree_on_every_new_session(server):
    async def scenario():
        async with replica(server, 2000) as (one, _, net), replica(server, 2000) as (two, _, _):
            net.kill("w1:1")  # they do not even see the same workers
            await until(lambda: len(one.fleet.pool("m", "").workers) == 2)
            for n in range(50):
                (a, _), (b, _) = await asyncio.gather(place(one, f"s{n}"), place(two, f"s{n}"))
                if b.places[0].worker.name != "w1":
                    assert a.places[0].worker.name == b.places[0].worker.name
                    assert a.version == b.version

    run_real(scenario())
