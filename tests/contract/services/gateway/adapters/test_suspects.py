"""Suspected requests: the same checks on the store in memory that use cases are tried on, and on a real one."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

import pytest

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.quarantine import MemorySuspects, ValkeySuspects


@asynccontextmanager
async def memory():
    yield lambda seconds=60.0, most=100: MemorySuspects(SystemClock(), seconds, most)


@asynccontextmanager
async def valkey():
    with ValkeyProcess() as store:
        client = Valkey(store.settings())
        await client.ready()
        try:
            yield lambda seconds=60.0, most=100: ValkeySuspects(client, seconds, most)
        finally:
            await client.close()


def seen(suspects):
    return sorted((s.fingerprint, s.characters, s.deaths) for s in suspects)


BOTH = pytest.mark.parametrize("make", [memory, valkey])


@BOTH
def test_every_life_counts_once_and_an_answer_clears(make):
    async def scenario():
        async with make() as store:
            one = store()
            assert not await one.suspects()
            assert (await one.blame("aa", 120, "w1/boot 1")).deaths == 1
            assert (await one.blame("aa", 120, "w1/boot 1")).deaths == 1
            assert (await one.blame("aa", 120, "w1/boot 2")).deaths == 2
            assert (await one.blame("bb", 7, "w1/boot 2")).deaths == 1
            found = await one.suspects()
            assert seen(found) == [("aa", 120, 2), ("bb", 7, 1)]
            assert all(50 < suspect.seconds <= 60 for suspect in found)
            assert await one.suspects() is None
            await one.acquit("aa")
            await one.acquit("aa")
            assert seen(await one.suspects()) == [("bb", 7, 1)]
            assert (await one.blame("aa", 120, "w1/boot 3")).deaths == 1

    run_real(scenario())


@BOTH
def test_what_is_over_its_time_is_gone_and_the_number_is_bounded(make):
    async def scenario():
        async with make() as store:
            brief = store(0.001)
            await brief.blame("aa", 1, "w/1")
            await asyncio.sleep(0.01)
            assert (await brief.blame("bb", 1, "w/1")).deaths == 1
            await asyncio.sleep(0.01)
            assert not await brief.suspects()
            small = store(60.0, 3)
            for index in range(10):
                await small.blame(f"{index:02}", index, "w/1")
            assert len(await small.suspects()) <= 3

    run_real(scenario())


def test_gateways_see_each_others_and_a_lost_store_says_so():
    async def scenario():
        with ValkeyProcess() as store:
            clients = [Valkey(store.settings()) for _ in range(2)]
            for client in clients:
                await client.ready()
            one, other = (ValkeySuspects(client, 60.0) for client in clients)
            await one.blame("aa", 5, "w/1")
            assert seen(await other.suspects()) == [("aa", 5, 1)]
            assert (await other.blame("aa", 5, "w/2")).deaths == 2
            assert seen(await one.suspects()) == [("aa", 5, 2)]
            store.kill()
            with pytest.raises(PlatformError) as caught:
                await one.blame("aa", 5, "w/3")
            assert caught.value.reason is Reason.STORE_UNAVAILABLE
            for client in clients:
                await client.close()

    run_real(scenario())
