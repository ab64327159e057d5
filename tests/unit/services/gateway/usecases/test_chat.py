"""From model to plan: who may, and what is told when a neighbour is away."""

from __future__ import annotations

from libs.errors import Reason
from libs.testing.loop import run
from services.gateway.domain.turns import (
    Principal,
    SessionClaim,
)
from services.gateway.usecases.sessions import SessionLimits
from tests.unit.services.gateway.usecases.world import (
    ALICE,
    MALLORY,
    Worker,
    World,
    ask,
    whole,
)

MINE = SessionClaim(explicit="s1", source="x-session-id")


def test_models_are_sorted_and_know_their_variant(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            own, pool = world.pipeline.models()
            assert (own.name, own.pool, pool.name, pool.pool) == ("m", False, "small", True)
            assert (own.model_digest, own.window_tokens, own.addresses) == ("digest-1", 4096, ("a",))
            assert world.pipeline.ready()

    run(scenario())


def test_an_unknown_model_is_404(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            _, error = await world.failure(ask(model="gpt-9"))
            assert (error.reason, error.http_status, error.param) == (Reason.MODEL_NOT_FOUND, 404, "model")

    run(scenario())


def test_auto_asks_choose_and_a_named_model_does_not(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            _, error = await world.failure(ask(model="auto"))
            assert error.reason is Reason.MODEL_NOT_FOUND
            world.router.chosen = ["gone", "small"]
            events = await world.answer(ask(model="auto"))
            assert events[0].model == "small"
            assert world.router.places[-1][0].model == "small"

    run(scenario())


def test_a_pool_name_is_what_the_reply_says(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            events = await world.answer(ask(model="small"))
            assert (events[0].model, events[0].worker, events[0].cached_tokens) == ("small", "a", 3)
            ((request, info),) = world.workers["a"].requests
            assert (request.model, request.model_digest) == ("small", "digest-1")
            assert info.metadata["x-request-id"] == "r1"
            assert info.metadata["x-headrace-tenant"] == "acme"

    run(scenario())


def test_without_a_router_the_catalog_stands_and_calls_are_503(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            world.router_channel.lose()
            await world.clock.sleep(0.1)
            assert [model.name for model in world.pipeline.models()] == ["m", "small"]
            assert not world.pipeline.ready()
            for model in ("m", "never-seen", "auto"):
                _, error = await world.failure(ask(model=model))
                assert (error.reason, error.http_status) == (Reason.ROUTER_UNAVAILABLE, 503)
                assert error.retry_after_seconds
            world.router_channel.restore()
            await world.clock.sleep(3)
            assert world.pipeline.ready()
            assert whole(await world.answer())

    run(scenario())


def test_no_worker_is_the_routers_word(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            world.router.workers.clear()
            _, error = await world.failure()
            assert (error.reason, error.retry_after_seconds) == (Reason.NO_WORKER, 3.0)

    run(scenario())


def test_a_session_belongs_to_key_and_user(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            events = await world.answer(ask(session=MINE, user="ann"))
            assert (events[0].session_id, events[0].session_source) == ("s1", "x-session-id")
            assert world.router.places[-1][0].session == "s1"
            await world.answer(ask(session=MINE, user="ann"))
            for principal, user in ((MALLORY, "ann"), (ALICE, "bob"), (ALICE, "")):
                events, error = await world.failure(ask(session=MINE, user=user), principal)
                assert (error.reason, error.http_status, events) == (Reason.SESSION_NOT_FOUND, 404, [])
            # Another tenant has a session of its own under that id.
            await world.answer(ask(session=MINE, user="ann"), Principal("other", "key-1"))

    run(scenario())


def test_an_owner_is_asked_for_once_and_again_when_it_is_no_longer_fresh(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            for _ in range(3):
                await world.answer(ask(session=MINE))
            assert world.owners.asked == 1
            await world.clock.sleep(61)
            await world.answer(ask(session=MINE))
            assert world.owners.asked == 2

    run(scenario())


def test_the_store_down_refuses_unknown_owners_and_serves_known_ones(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            await world.answer(ask(session=MINE))
            world.owners.down = True
            await world.clock.sleep(61)
            assert whole(await world.answer(ask(session=MINE)))
            _, error = await world.failure(ask(session=MINE), MALLORY)
            assert error.reason is Reason.SESSION_NOT_FOUND
            _, error = await world.failure(ask(session=SessionClaim(explicit="s2", source="body")))
            assert (error.reason, error.http_status) == (Reason.STORE_UNAVAILABLE, 503)
            assert whole(await world.answer(ask()))
            await world.clock.sleep(90_000)
            _, error = await world.failure(ask(session=MINE))
            assert error.reason is Reason.STORE_UNAVAILABLE

    run(scenario())


def test_remembered_sessions_are_bounded(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path, sessions=SessionLimits(sessions_max=2)) as world:
            for session in ("s1", "s2", "s3", "s1"):
                await world.answer(ask(session=SessionClaim(explicit=session, source="body")))
            assert world.owners.asked == 4

    run(scenario())


def test_long_session_ids_are_refused(tmp_path):
    async def scenario():
        async with World([Worker("a")], tmp_path) as world:
            await world.answer(ask(session=SessionClaim(explicit="s" * 255, source="body")))
            _, error = await world.failure(ask(session=SessionClaim(explicit="s" * 256, source="body")))
            assert (error.reason, error.param) == (Reason.INVALID_REQUEST, "session_id")

    run(scenario())
