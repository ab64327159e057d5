from __future__ import annotations

import random

from libs.rpc.api import Handler
from libs.testing.clock import FakeClock
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run
from services.gateway.adapters.catalog import WatchedCatalog
from services.gateway.adapters.router import WATCH_MODELS
from tests.unit.services.gateway.usecases.world import Router, Worker


def scene():
    clock, router = FakeClock(), Router([Worker("a")])
    channel = InMemoryChannel(router.handlers(), clock=clock)
    return clock, router, channel, WatchedCatalog(channel, clock, random.Random(1))


def test_changes_arrive_whole():
    async def scenario():
        _, router, _, catalog = scene()
        catalog.start()
        await catalog.changed()
        assert catalog.find("small").model == "m"
        router.names = ["m"]
        router.changed.set()
        await catalog.changed()
        assert catalog.find("small") is None
        await catalog.close()
        await catalog.close()

    run(scenario())


def test_the_last_catalog_outlives_the_router_and_the_watch_comes_back():
    async def scenario():
        clock, router, channel, catalog = scene()
        catalog.start()
        await catalog.changed()
        channel.lose()
        await catalog.changed()
        assert not catalog.connected()
        assert catalog.find("m")
        router.names = ["new"]
        channel.restore()
        await clock.sleep(2)
        assert catalog.connected()
        assert [model.name for model in catalog.models()] == ["new"]
        await catalog.close()

    run(scenario())


def test_the_hourly_renewal_is_no_loss():
    async def scenario():
        clock, _, _, catalog = scene()
        catalog.start()
        await catalog.changed()
        seen = []
        for _ in range(4000):
            await clock.sleep(1)
            seen.append(catalog.connected())
        assert all(seen)
        await catalog.close()

    run(scenario())


def test_a_router_that_hangs_up_at_once_is_not_hammered():
    async def scenario():
        clock = FakeClock()
        opened = []

        async def watch(request, responder, info):
            opened.append(clock.monotonic())

        catalog = WatchedCatalog(InMemoryChannel([Handler(WATCH_MODELS, watch)], clock=clock), clock)
        catalog.start()
        await clock.sleep(60)
        assert 60 <= len(opened) <= 130
        await catalog.close()

    run(scenario())
