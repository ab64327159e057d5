"""Owners of sessions: the same checks on the fake that the use cases' tests run on, and on a real store."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.sessions import ValkeyOwners, session_key
from tests.unit.services.gateway.usecases.world import Owners


@asynccontextmanager
async def fake():
    owners = Owners()

    def kill():
        owners.down = True

    yield owners, kill


@asynccontextmanager
async def real():
    with ValkeyProcess() as store:
        valkey = Valkey(store.settings())
        await valkey.ready()
        try:
            yield ValkeyOwners(valkey, 100), store.kill
        finally:
            await valkey.close()


@pytest.mark.parametrize("make", [fake, real])
def test_the_first_owner_stays_and_tenants_are_apart(make):
    async def scenario():
        async with make() as (owners, _):
            assert await owners.claim("t", "s", "alice") == "alice"
            assert await owners.claim("t", "s", "mallory") == "alice"
            assert await owners.claim("t", "s", "alice") == "alice"
            assert await owners.claim("u", "s", "mallory") == "mallory"

    run_real(scenario())


@pytest.mark.parametrize("make", [fake, real])
def test_a_dead_store_says_so(make):
    async def scenario():
        async with make() as (owners, kill):
            await owners.claim("t", "s", "alice")
            kill()
            with pytest.raises(PlatformError) as caught:
                await owners.claim("t", "s", "alice")
            assert (caught.value.reason, caught.value.started) == (Reason.STORE_UNAVAILABLE, False)

    run_real(scenario())


def test_idle_time_is_renewed_by_the_owner_alone_and_the_routers_fields_are_left():
    async def scenario():
        with ValkeyProcess() as store:
            valkey = Valkey(store.settings())
            await valkey.ready()
            key = session_key("t", "s")
            await valkey.command("HSET", key, "worker", "w1")
            await ValkeyOwners(valkey, 100).claim("t", "s", "alice")
            assert 90 < await valkey.command("TTL", key) <= 100
            await ValkeyOwners(valkey, 500).claim("t", "s", "mallory")
            assert await valkey.command("TTL", key) <= 100
            await ValkeyOwners(valkey, 500).claim("t", "s", "alice")
            assert await valkey.command("TTL", key) > 400
            assert await valkey.command("HGET", key, "worker") == b"w1"
            await valkey.close()

    run_real(scenario())
