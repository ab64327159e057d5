"""The composed router over fake workers and a fake store, on virtual time."""

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.router.composition.choice import splits_of
from services.router.main import Ports, compose
from services.router.settings import RouterSettings
from services.router.usecases.placing import PlaceQuery
from tests.unit.services.router.fake_choice import choice_ports
from tests.unit.services.router.fake_store import FakeStore
from tests.unit.services.router.fake_worker import FakeWorker


class Net:
    """Where `dial` finds fake workers; `channels` are the open ones."""

    def __init__(self, workers):
        self.workers = workers
        self.down = set()
        self.channels = {}

    def dial(self, address):
        channel = InMemoryChannel(self.workers[address].handlers(), address=address)
        if address in self.down:
            channel.lose()
        self.channels[address] = channel
        return channel

    def kill(self, address):
        self.down.add(address)
        self.channels[address].lose()


@asynccontextmanager
async def router_over(settings=None, **workers):
    net = Net({f"{name}:1": worker for name, worker in workers.items()})
    settings = RouterSettings(workers=tuple(net.workers), **(settings or {}))
    router = compose(
        settings, Ports(FakeStore(), net.dial, FakeClock(), Registry(), choice_ports(splits_of(settings)), lambda: 0.5)
    )
    tasks = [asyncio.create_task(loop()) for loop in router.loops.values()]
    try:
        await asyncio.sleep(0.01)
        yield router, net
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def live(router, model="m"):
    entry = router.fleet.catalog.entries.get(model)
    return [worker.name for worker in entry.default.workers] if entry else None


def state(router, address):
    return next(worker.state for worker in router.fleet.workers if worker.address == address)


async def seconds_until(condition, limit):
    loop = asyncio.get_running_loop()
    start = loop.time()
    while not condition():
        assert loop.time() - start < limit, "too late"
        await asyncio.sleep(0.005)
    return loop.time() - start


def test_workers_are_found_and_described_once_per_life():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker) as (router, _):
            assert live(router) == ["w0"]
            await asyncio.sleep(3)
            assert (worker.described, worker.subscribed) == (1, 1)

    run(scenario())


def test_a_broken_connection_takes_the_worker_out_at_once_and_it_comes_back_under_a_new_boot_id():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker, b=FakeWorker("w1")) as (router, net):
            assert live(router) == ["w0", "w1"]
            net.kill("a:1")
            assert await seconds_until(lambda: live(router) == ["w1"], 0.05) < 0.02
            assert state(router, "a:1") == "unreachable"
            worker.restart("b2")
            net.down.clear()
            await seconds_until(lambda: live(router) == ["w0", "w1"], 2)
            assert worker.described == 2

    run(scenario())


def test_a_frozen_worker_leaves_within_a_second_and_returns_with_its_next_word():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker) as (router, _):
            worker.mute = True
            assert await seconds_until(lambda: live(router) == [], 1.0) > 0.5
            assert state(router, "a:1") == "silent"
            worker.say(mute=False)
            await seconds_until(lambda: live(router) == ["w0"], 0.02)

    run(scenario())


def test_a_connection_that_stays_silent_is_dialled_anew():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker) as (_, net):
            first = net.channels["a:1"]
            worker.mute = True
            await seconds_until(lambda: net.channels["a:1"] is not first, 6)

    run(scenario())


def test_a_draining_worker_leaves_at_once():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker) as (router, _):
            worker.say(draining=True)
            await seconds_until(lambda: live(router) == [], 0.02)
            assert state(router, "a:1") == "draining"

    run(scenario())


def test_a_gap_asks_for_a_snapshot_without_losing_the_worker():
    async def scenario():
        worker = FakeWorker()
        async with router_over(a=worker) as (router, _):
            generation = router.fleet.catalog.generation
            worker.say(skip=3)
            await seconds_until(lambda: worker.subscribed == 2, 0.05)
            await asyncio.sleep(1)
            assert router.fleet.catalog.generation == generation
            assert worker.subscribed == 2

    run(scenario())


def test_a_worker_without_a_snapshot_is_not_asked_in_a_spin():
    class Odd(FakeWorker):
        def state(self, *, snapshot):
            return super().state(snapshot=False)

    async def scenario():
        worker = Odd()
        async with router_over(a=worker) as (router, _):
            await asyncio.sleep(10)
            assert worker.subscribed < 20
            assert live(router) is None

    run(scenario())


def test_every_worker_lost_is_no_worker_and_an_unknown_name_is_not_found():
    async def scenario():
        async with router_over(a=FakeWorker()) as (router, net):
            net.kill("a:1")
            await asyncio.sleep(0.05)
            for model, reason in [("m", Reason.NO_WORKER), ("small", Reason.NO_WORKER), ("x", Reason.MODEL_NOT_FOUND)]:
                with pytest.raises(PlatformError) as caught:
                    router.fleet.pool(model, "")
                assert (caught.value.reason, caught.value.started) == (reason, False)

    run(scenario())


def test_idle_sessions_leave_the_cache():
    async def scenario():
        async with router_over(a=FakeWorker()) as (router, _):
            await router.placing.place(PlaceQuery("t", "m", "", "s", "", frozenset()))
            assert len(router.placing._cache) == 1
            await asyncio.sleep(601)
            assert len(router.placing._cache) == 0

    run(scenario())
