"""The fake store and the one in Valkey keep the same promises."""

import asyncio
import uuid
from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.router.adapters.bindings import ValkeyBindings
from services.router.domain.binding import Binding, Bound, SessionKey
from tests.unit.services.router.fake_store import FakeStore

TTL_SECONDS = 1000


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


@asynccontextmanager
async def valkey_store(server):
    valkey = Valkey(server.settings(op_timeout_ms=2000))
    try:
        yield ValkeyBindings(valkey, TTL_SECONDS)
    finally:
        await valkey.close()


@asynccontextmanager
async def fake_store(server):
    yield FakeStore()


def session():
    return SessionKey("acme", f"chat {{x}} {uuid.uuid4()}")


@pytest.fixture(params=[fake_store, valkey_store])
def with_store(request, server):
    def go(scenario):
        async def main():
            async with request.param(server) as store:
                await scenario(store)

        run_real(main())

    return go


def test_the_first_binding_stays_and_a_repeat_changes_nothing(with_store):
    async def scenario(store):
        key = session()
        assert await store.bind(key, "w0", 0) == Bound(Binding("w0", 1), written=True)
        assert await store.bind(key, "w1", 0) == Bound(Binding("w0", 1), written=False)
        assert await store.bind(key, "w0", 1) == Bound(Binding("w0", 1), written=False)

    with_store(scenario)


def test_a_move_needs_the_version_that_is_stored(with_store):
    async def scenario(store):
        key = session()
        await store.bind(key, "w0", 0)
        assert await store.bind(key, "w1", 1) == Bound(Binding("w1", 2), written=True)
        assert await store.bind(key, "w2", 1) == Bound(Binding("w1", 2), written=False)

    with_store(scenario)


def test_of_many_at_once_one_wins_and_all_learn_who(with_store):
    async def scenario(store):
        key = session()
        bound = await asyncio.gather(*(store.bind(key, f"w{n}", 0) for n in range(50)))
        assert sum(each.written for each in bound) == 1
        assert len({each.binding for each in bound}) == 1
        moved = await asyncio.gather(*(store.bind(key, f"x{n}", 1) for n in range(50)))
        assert sum(each.written for each in moved) == 1
        assert {each.binding.version for each in moved} == {2}

    with_store(scenario)


def test_versions_go_on_where_an_emptied_store_lost_them(with_store):
    async def scenario(store):
        assert (await store.bind(session(), "w0", 7)).binding == Binding("w0", 8)

    with_store(scenario)


def test_two_processes_race_for_one_session_on_a_real_store(server):
    async def scenario():
        async with valkey_store(server) as one, valkey_store(server) as two:
            for _ in range(20):
                key = session()
                a, b = await asyncio.gather(one.bind(key, "w0", 0), two.bind(key, "w1", 0))
                assert a.binding == b.binding
                assert a.written != b.written

    run_real(scenario())


def test_the_idle_time_is_set_lengthened_rarely_and_never_shortened(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        store, key = ValkeyBindings(valkey, TTL_SECONDS), session()
        name = f"hr:session:{{acme}}:{key.session}"
        await store.bind(key, "w0", 0)
        for expiry, expected in [(800, 800), (700, TTL_SECONDS), (5000, 5000)]:
            await valkey.command("EXPIRE", name, expiry)
            await store.bind(key, "w0", 1)
            assert abs(await valkey.command("TTL", name) - expected) <= 1
        await valkey.close()

    run_real(scenario())


def test_the_owner_that_the_gateway_keeps_in_the_hash_is_left_alone(server):
    async def scenario():
        valkey = Valkey(server.settings(op_timeout_ms=2000))
        key = session()
        name = f"hr:session:{{acme}}:{key.session}"
        await valkey.command("HSET", name, "owner", "somebody")
        await ValkeyBindings(valkey, TTL_SECONDS).bind(key, "w0", 0)
        assert await valkey.command("HGET", name, "owner") == b"somebody"
        await valkey.close()

    run_real(scenario())


def test_a_store_that_is_down_is_told_as_such():
    async def scenario():
        valkey = Valkey(ValkeyProcess().settings())
        store = ValkeyBindings(valkey, TTL_SECONDS)
        with pytest.raises(PlatformError) as caught:
            await store.bind(session(), "w0", 0)
        assert caught.value.reason is Reason.STORE_UNAVAILABLE
        assert not store.up
        await valkey.close()

    run_real(scenario())
