"""The fake stores of choices and those in Valkey keep the same promises."""

import asyncio
import uuid
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.router.adapters.bindings import ValkeyBindings
from services.router.adapters.session_tiers import ValkeySessionRoutes, decode, encode
from services.router.adapters.variant_store import ValkeyVariants
from services.router.domain.binding import Binding, SessionKey
from services.router.domain.policy.session import NOTHING, SessionRoute
from services.router.domain.session_routes import StoredRoute
from services.router.domain.tiers import Tier
from services.router.domain.variants.split import Split, Variant
from tests.unit.services.router.fake_choice import FakeRoutes, FakeVariants

TTL_SECONDS = 1000
SMALL = SessionRoute(Tier.SMALL, turn=3_000_000_000, lower_turns=1)
LARGE = SessionRoute(Tier.LARGE, 7, 0, Tier.SMALL, 4, (("chat", "canary"), ("code", "stable")))


@pytest.fixture(scope="module")
def server():
    with ValkeyProcess() as process:
        yield process


@asynccontextmanager
async def opened(server):
    valkey = Valkey(server.settings(op_timeout_ms=2000))
    try:
        yield valkey
    finally:
        await valkey.close()


@asynccontextmanager
async def valkey_routes(server):
    async with opened(server) as valkey:
        yield ValkeySessionRoutes(valkey, TTL_SECONDS)


@asynccontextmanager
async def fake_routes(server):
    yield FakeRoutes()


@asynccontextmanager
async def valkey_variants(server, base):
    async with opened(server) as valkey:
        yield ValkeyVariants(valkey, base)


@asynccontextmanager
async def fake_variants(server, base):
    yield FakeVariants(base)


def session():
    return SessionKey("acme", f"chat {{x}} {uuid.uuid4()}")


def base_split():
    pool = f"chat-{uuid.uuid4()}"
    return {pool: Split(pool, (Variant("stable", "m-a", 9), Variant("canary", "m-b", 1)))}


@pytest.fixture(params=[fake_routes, valkey_routes])
def with_routes(request, server):
    def go(scenario):
        async def main():
            async with request.param(server) as store:
                await scenario(store)

        run_real(main())

    return go


@pytest.fixture(params=[fake_variants, valkey_variants])
def with_variants(request, server):
    def go(scenario):
        async def main():
            base = base_split()
            async with request.param(server, base) as store:
                await scenario(store, base)

        run_real(main())

    return go


def test_the_first_route_stays_and_a_repeat_changes_nothing(with_routes):
    async def scenario(store):
        key = session()
        assert await store.save(key, SMALL, 0) == StoredRoute(SMALL, 1)
        assert await store.save(key, LARGE, 0) == StoredRoute(SMALL, 1)
        assert await store.save(key, SMALL, 1) == StoredRoute(SMALL, 1)

    with_routes(scenario)


def test_a_change_needs_the_version_that_is_stored(with_routes):
    async def scenario(store):
        key = session()
        await store.save(key, SMALL, 0)
        assert await store.save(key, LARGE, 1) == StoredRoute(LARGE, 2)
        assert await store.save(key, SMALL, 1) == StoredRoute(LARGE, 2)

    with_routes(scenario)


def test_of_many_at_once_one_wins_and_all_learn_who(with_routes):
    async def scenario(store):
        key = session()
        routes = [SessionRoute(Tier.SMALL, turn=turn) for turn in range(1, 31)]
        saved = await asyncio.gather(*(store.save(key, route, 0) for route in routes))
        assert len(set(saved)) == 1

    with_routes(scenario)


def test_versions_go_on_where_an_emptied_store_lost_them(with_routes):
    async def scenario(store):
        assert (await store.save(session(), SMALL, 7)).version == 8

    with_routes(scenario)


def test_a_route_and_a_binding_of_one_session_leave_each_other_alone(server):
    async def scenario():
        async with opened(server) as valkey:
            key = session()
            bindings, routes = ValkeyBindings(valkey, TTL_SECONDS), ValkeySessionRoutes(valkey, TTL_SECONDS)
            await routes.save(key, SMALL, 0)
            assert (await bindings.bind(key, "w0", 0)).binding == Binding("w0", 1)
            assert await routes.save(key, LARGE, 1) == StoredRoute(LARGE, 2)
            assert (await bindings.bind(key, "w1", 0)).binding == Binding("w0", 1)

    run_real(scenario())


def test_the_idle_time_is_set_lengthened_rarely_and_never_shortened(server):
    async def scenario():
        async with opened(server) as valkey:
            store, key = ValkeySessionRoutes(valkey, TTL_SECONDS), session()
            name = f"hr:session:{{acme}}:{key.session}"
            await store.save(key, SMALL, 0)
            for expiry, expected in [(800, 800), (700, TTL_SECONDS), (5000, 5000)]:
                await valkey.command("EXPIRE", name, expiry)
                await store.save(key, SMALL, 1)
                assert abs(await valkey.command("TTL", name) - expected) <= 1

    run_real(scenario())


@pytest.mark.parametrize("route", [NOTHING, SMALL, LARGE])
def test_what_is_written_can_be_read(route):
    assert decode(encode(route).encode()) == route


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'["huge",0,0,"",0,{}]', b'["small",0,0,"",0,[]]', b"\xff"])
def test_what_cannot_be_read_counts_as_nothing(text):
    assert decode(text).tier is None


def test_weights_are_those_of_the_settings_until_somebody_sets_them(with_variants):
    async def scenario(store, base):
        (pool,) = base
        assert await store.load([pool]) == base
        wanted = base[pool].with_stop("canary", "failures: 9 of 10")
        saved = await store.save(wanted, 0)
        assert saved == replace(wanted, version=1)
        assert await store.load([pool]) == {pool: saved}

    with_variants(scenario)


def test_a_weight_change_needs_the_version_that_is_stored(with_variants):
    async def scenario(store, base):
        (pool,) = base
        first = await store.save(base[pool].with_weights({"canary": 5}), 0)
        late = await store.save(base[pool].with_weights({"canary": 7}), 0)
        assert late == first
        assert (await store.save(base[pool].with_weights({"canary": 7}), 1)).version == 2

    with_variants(scenario)


def test_settings_that_change_keep_what_was_set_for_the_variants_they_still_have(server):
    async def scenario():
        base = base_split()
        (pool,) = base
        async with opened(server) as valkey:
            await ValkeyVariants(valkey, base).save(base[pool].with_weights({"canary": 5, "stable": 6}), 0)
            other = {pool: Split(pool, (Variant("stable", "m-a", 1), Variant("next", "m-n", 2)))}
            (found,) = (await ValkeyVariants(valkey, other).load([pool])).values()
            assert [(each.name, each.weight) for each in found.variants] == [("stable", 6), ("next", 2)]

    run_real(scenario())


def test_stores_that_are_down_are_told_as_such():
    async def scenario():
        valkey = Valkey(ValkeyProcess().settings())
        base = base_split()
        for ask in (
            lambda: ValkeySessionRoutes(valkey, TTL_SECONDS).save(session(), SMALL, 0),
            lambda: ValkeyVariants(valkey, base).load(list(base)),
        ):
            with pytest.raises(PlatformError) as caught:
                await ask()
            assert caught.value.reason is Reason.STORE_UNAVAILABLE
        await valkey.close()

    run_real(scenario())


@pytest.mark.parametrize("text", ["nonsense", "[1]", '{"canary": 5}', '{"canary": []}', '{"canary": ["x", ""]}'])
def test_weights_that_cannot_be_read_are_those_of_the_settings_and_can_be_set(server, text):
    async def scenario():
        base = base_split()
        (pool,) = base
        async with opened(server) as valkey:
            await valkey.command("HSET", f"hr:variants:{{{pool}}}", "weights", text, "version", 4)
            store = ValkeyVariants(valkey, base)
            assert await store.load([pool]) == {pool: replace(base[pool], version=4)}
            wanted = base[pool].with_weights({"canary": 5})
            assert await store.save(wanted, 4) == replace(wanted, version=5)

    run_real(scenario())
