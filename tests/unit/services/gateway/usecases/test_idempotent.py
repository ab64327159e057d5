"""Calls with an idempotency key: one answer, whoever asks and whenever, on any of two gateways."""

from __future__ import annotations

import asyncio

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.gateway.adapters.idempotency import AnswerLimits
from services.gateway.domain.idempotency import keyed
from services.gateway.domain.turns import Principal, SessionClaim
from services.gateway.events import Ended
from tests.unit.services.gateway.usecases.city import PACE, about, breaks, city, read, rest, started
from tests.unit.services.gateway.usecases.world import ALICE, Worker, ask, tokens, whole

# Replays.


def test_the_first_call_is_answered_as_without_a_key(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            events, answer = await c.one.answer("r1")
            assert whole(events)
            assert (answer.answer_id, answer.replayed, started(events).replayed) == ("r1", False, False)
            assert c.one.claims == ["own"]

    run(scenario())


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_repeat_gets_the_stored_answer_and_is_charged_nothing(tmp_path, where):
    async def scenario():
        async with city(tmp_path) as c:
            first, made = await c.one.answer("r1")
            second, answer = await getattr(c, where).answer("r2")
            assert about(second) == about(first)
            assert (answer.answer_id, answer.created, answer.replayed) == ("r1", made.created, True)
            assert (started(second).request_id, started(second).replayed) == ("r2", True)
            assert c.runs() == ["r1"]
            assert [record.request_id for record in c.world.seen.records] == ["r1"]

    run(scenario())


def test_another_body_is_a_mismatch(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            await c.one.answer("r1")
            with pytest.raises(PlatformError) as caught:
                await c.two.answer("r2", body=b"another body")
            assert (caught.value.reason, caught.value.http_status) == (Reason.IDEMPOTENCY_MISMATCH, 422)
            assert c.runs() == ["r1"]

    run(scenario())


def test_an_answer_to_a_session_is_for_its_owner_alone(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            request = ask(session=SessionClaim("s1", "x-session-id"))
            await c.one.answer("r1", request)
            for other in (Principal("acme", "key-2"), ALICE):
                if other is ALICE:
                    request = ask(session=SessionClaim("s2", "x-session-id"))
                with pytest.raises(PlatformError) as caught:
                    await c.two.answer("r2", request, other)
                assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH

    run(scenario())


def test_a_replay_needs_leave_to_use_the_model(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            await c.one.answer("r1")
            with pytest.raises(PlatformError) as caught:
                await c.two.answer("r2", principal=Principal("acme", "key-2", models=frozenset({"another"})))
            assert caught.value.reason is Reason.MODEL_NOT_ALLOWED

    run(scenario())


def test_a_restricted_key_may_have_a_model_chosen_under_an_idempotency_key(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            c.world.router.chosen = ["small"]
            events, _ = await c.one.answer(
                "r1", ask(model="auto"), Principal("acme", "key-1", models=frozenset({"small"}))
            )
            assert events[0].model == "small"
            with pytest.raises(PlatformError) as caught:
                await c.one.answer(
                    "r2", ask(model="auto"), Principal("acme", "key-1", models=frozenset({"auto"})), key="2"
                )
            assert caught.value.reason is Reason.MODEL_NOT_ALLOWED

    run(scenario())


def test_an_answer_of_a_chosen_model_is_not_for_a_key_with_other_models(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            c.world.router.chosen = ["m", "small"]
            events, _ = await c.one.answer("r1", ask(model="auto"))
            assert events[0].model == "m"
            with pytest.raises(PlatformError) as caught:
                await c.two.answer("r2", ask(model="auto"), Principal("acme", "key-2", models=frozenset({"small"})))
            assert caught.value.reason is Reason.IDEMPOTENCY_MISMATCH

    run(scenario())


def test_other_tenants_keys_and_routes_are_apart(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            await c.one.answer("r1")
            await c.one.answer("r2", principal=Principal("other", "key-1"))
            await c.one.answer("r3", key="another")
            assert c.runs() == ["r1", "r2", "r3"]

    run(scenario())


@pytest.mark.parametrize("key", ["", "x" * 256, "line\nbreak", "nul\0", "\udcff"])
def test_what_is_no_key_is_refused(key):
    with pytest.raises(PlatformError) as caught:
        keyed(key, "chat", b"", ask(), ALICE)
    assert (caught.value.reason, caught.value.param) == (Reason.INVALID_REQUEST, "Idempotency-Key")


@pytest.mark.parametrize("key", ["x", "x" * 255, "} {:*", "ключ"])
def test_any_printable_key_is_a_key(key):
    assert len(keyed(key, "chat", b"", ask(), ALICE).slot.digest) == 64


# While it runs.


@pytest.mark.parametrize("where", ["one", "two"])
def test_a_call_that_comes_while_it_runs_gets_what_was_said_and_then_the_rest_live(tmp_path, where):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(c.one.answer("r1"))
            await asyncio.sleep(2.5 * PACE)
            answer = await getattr(c, where).open("r2")
            assert answer.replayed
            batches = answer.events()
            early = await anext(batches)
            assert tokens(early) == [100, 101, 102]
            assert not first.done()
            late = await rest(batches)
            assert about(early + late) == about((await first)[0])
            assert c.runs() == ["r1"]

    run(scenario())


def test_of_many_at_the_same_moment_one_is_made(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=0.1) as c:
            gateways = [c.one, c.two] * 10
            found = await asyncio.gather(*[g.answer(f"r{n}") for n, g in enumerate(gateways)])
            assert len(c.runs()) == 1
            assert all(about(events) == about(found[0][0]) for events, _ in found)
            assert len({answer.answer_id for _, answer in found}) == 1

    run(scenario())


def test_it_is_made_though_its_client_goes_away_and_the_retry_gets_all_of_it(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            await read(await c.one.open("r1"), 2)
            events, answer = await c.two.answer("r2")
            assert whole(events)
            assert answer.replayed
            assert c.runs() == ["r1"]
            assert [(r.request_id, r.completion_tokens, r.error) for r in c.world.seen.records] == [("r1", 6, "")]

    run(scenario())


def test_a_call_that_waits_for_another_has_its_own_deadline(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=10.0) as c:
            first = asyncio.create_task(c.one.answer("r1"))
            await asyncio.sleep(1)
            _, error = await breaks(await c.two.open("r2", seconds=5.0))
            assert error.reason is Reason.DEADLINE_EXCEEDED
            assert whole((await first)[0])

    run(scenario())


# What fails.


def test_a_call_that_was_refused_gives_its_key_free(tmp_path):
    async def scenario():
        async with city(tmp_path, Worker("a", [("refuse", Reason.INVALID_SCHEMA)])) as c:
            events, error = await breaks(await c.one.open("r1"))
            assert (events, error.reason) == ([], Reason.INVALID_SCHEMA)
            events, answer = await c.two.answer("r2", body=b"mended")
            assert whole(events)
            assert (answer.answer_id, answer.replayed) == ("r2", False)

    run(scenario())


def test_who_waited_for_a_call_that_was_refused_is_served_itself(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with city(tmp_path, worker) as c:
            c.world.router.hold = asyncio.Event()
            first = asyncio.create_task(breaks(await c.one.open("r1", seconds=3.0)))
            await asyncio.sleep(1)
            second = asyncio.create_task(c.two.answer("r2"))
            _, error = await first
            assert error.reason is Reason.ROUTER_UNAVAILABLE
            c.world.router.hold.set()
            events, answer = await second
            assert whole(events)
            # The id that it may have told its client already.
            assert (answer.answer_id, answer.replayed, started(events).replayed) == ("r1", False, False)
            assert c.runs() == ["run-1"]

    run(scenario())


def test_an_answer_that_breaks_in_the_middle_is_told_to_all_and_made_anew_for_the_next(tmp_path):
    async def scenario():
        async with city(tmp_path, Worker("a", [("hole", 2)]), pace=PACE) as c:
            first = asyncio.create_task(breaks(await c.one.open("r1")))
            await asyncio.sleep(1.5 * PACE)
            with_it = await breaks(await c.two.open("r2"))
            for events, error in (await first, with_it):
                assert tokens(events) == [100, 101]
                assert error.reason is Reason.STREAM_INTERRUPTED
            events, answer = await c.two.answer("r3")
            assert whole(events)
            assert (answer.answer_id, answer.replayed) == ("r3", False)
            assert c.runs() == ["r1", "r3"]

    run(scenario())


def test_without_the_store_nothing_is_begun(tmp_path):
    async def scenario():
        async with city(tmp_path) as c:
            c.answers.down = True
            with pytest.raises(PlatformError) as caught:
                await c.one.answer("r1")
            assert (caught.value.reason, caught.value.http_status) == (Reason.STORE_UNAVAILABLE, 503)
            assert c.runs() == []

    run(scenario())


def test_a_store_that_comes_back_has_all_of_the_answer(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(c.one.answer("r1"))
            await asyncio.sleep(1.5 * PACE)
            c.answers.down = True
            await asyncio.sleep(2 * PACE)
            c.answers.down = False
            made, _ = await first
            assert whole(made)
            events, answer = await c.two.answer("r2")
            assert about(events) == about(made)
            assert answer.replayed

    run(scenario())


def test_a_client_gets_its_end_though_the_store_is_away_and_not_at_once(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=PACE) as c:
            first = asyncio.create_task(c.one.answer("r1"))
            await asyncio.sleep(4.5 * PACE)
            c.answers.down = True
            made, _ = await first
            assert whole(made)
            late = c.world.clock.monotonic() - c.world.record.started_at - 6 * PACE
            assert late == pytest.approx(c.times.finish, abs=0.1)

    run(scenario())


def test_the_end_is_in_the_store_before_the_client_has_it(tmp_path):
    async def scenario():
        async with city(tmp_path, pace=0.001) as c:
            answer = await c.one.open("r1")
            async for batch in answer.events():
                if isinstance(batch[-1], Ended):
                    found = await c.two.answer("r2")
                    assert whole(found[0])
                    assert c.two.claims == ["done"]

    run(scenario())


def test_an_answer_that_is_too_long_is_given_once_and_then_refused(tmp_path):
    async def scenario():
        async with city(tmp_path, limits=AnswerLimits(bytes_max=200), pace=PACE) as c:
            assert whole((await c.one.answer("r1"))[0])
            with pytest.raises(PlatformError) as caught:
                await c.two.answer("r2")
            assert (caught.value.reason, caught.value.http_status) == (Reason.CONFLICT, 409)
            assert c.runs() == ["r1"]

    run(scenario())


def test_nobody_waits_for_an_answer_that_is_too_long_to_be_kept(tmp_path):
    async def scenario():
        async with city(tmp_path, limits=AnswerLimits(bytes_max=200), pace=PACE) as c:
            await read(await c.one.open("r1"), 5)
            await asyncio.sleep(0.5 * PACE)
            assert len(c.one.keyed) == 0
            assert c.world.record.error == Reason.CANCELLED

    run(scenario())
