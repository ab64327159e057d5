"""A request of a job is answered and charged once, whoever asks, leaves or dies."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from services.gateway.domain.accounts.records import Limits
from tests.integration.services.gateway.work.world import KEY, body, gateways, price, until
from tests.unit.services.gateway.usecases.world import Worker, token_at

replace = msgspec.structs.replace
ANSWER = 80
TEXT = "".join(f"<{token_at(0, index)}>" for index in range(ANSWER))


async def settled_once(gateway, outcome, reserved):
    """All of the answer is charged, once, and the rest of the reservation is there."""
    cost = price(outcome.prompt_tokens, outcome.cached_tokens, outcome.completion_tokens)
    totals = await gateway.at_rest(held=reserved - cost)
    assert totals.settled == cost == outcome.cost_nanodollars
    assert await gateway.release("job_1") == reserved - cost


def test_who_asks_again_gets_the_same_answer(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = await one.perform("job_1", body(ANSWER), "job_1/0")
            again = [await gateway.perform("job_1", body(ANSWER), "job_1/0") for gateway in (one, two)]
            assert [said.outcome.replayed for said in again] == [True, True]
            assert {said.outcome.body for said in again} == {first.outcome.body}
            assert {said.outcome.request_id for said in again} == {first.outcome.request_id}
            assert len(worker.requests) == 1
            await settled_once(one, first.outcome, reserved)

    run_real(scenario())


def test_of_two_at_once_one_is_made(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.01) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            tries = [one, two, one, two]
            heard = await asyncio.gather(*[each.perform("job_1", body(ANSWER), "job_1/0") for each in tries])
            assert [said.text for said in heard] == [TEXT] * 4
            assert len(worker.requests) == 1
            await settled_once(one, heard[0].outcome, reserved)

    run_real(scenario())


def test_another_request_under_the_same_key_is_none(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            await one.reserve("job_1", body(6))
            await one.perform("job_1", body(6), "job_1/0")
            outcome = (await one.perform("job_1", body(7), "job_1/0")).outcome
            assert outcome.status_code == 422

    run_real(scenario())


@pytest.mark.parametrize("late", [False, True], ids=["within the hold's lease", "after it"])
def test_when_its_gateway_is_killed_another_one_goes_on(tmp_path, late):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.03) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = one.begin("job_1", body(ANSWER), "job_1/0")
            # Something of it is kept by then.
            await until(lambda: logged(two))
            await one.kill()
            with pytest.raises(PlatformError) as lost:
                [response async for response in first]
            assert lost.value.reason in (Reason.WORKER_LOST, Reason.STREAM_INTERRUPTED, Reason.DRAINING)
            if late:
                await until(lambda: expired(two))
            said = await two.perform("job_1", body(ANSWER), "job_1/0")
            assert said.text == TEXT
            # It went on behind what was kept.
            assert len(worker.requests) == 2
            assert len(worker.requests[-1][0].resume.choices[0].token_ids) > 0
            await settled_once(two, said.outcome, reserved)

    run_real(scenario())


async def logged(gateway):
    keys = [key async for key in _scan(gateway, b"hr:idem:*:log")]
    return bool(keys)


async def _scan(gateway, pattern):
    cursor = b"0"
    while True:
        cursor, keys = await gateway.valkey.command("SCAN", cursor, "MATCH", pattern)
        for key in keys:
            yield key
        if int(cursor) == 0:
            return


async def expired(gateway):
    """Ends what is overdue, as the sweeper does where no worker can say more."""
    await gateway.money.store.expire("acme", 100)
    return any(entry.kind == "expired" for entry in await gateway.events())


def test_a_gateway_that_stops_leaves_its_answer_to_another_one(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.03) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = asyncio.create_task(one.perform("job_1", body(ANSWER), "job_1/0"))
            await until(lambda: logged(two))
            await one.leave()
            with pytest.raises(PlatformError) as stopped:
                await first
            assert stopped.value.reason is Reason.DRAINING
            said = await two.perform("job_1", body(ANSWER), "job_1/0")
            assert said.text == TEXT
            assert len(worker.requests[-1][0].resume.choices[0].token_ids) > 0
            await settled_once(two, said.outcome, reserved)

    run_real(scenario())


def test_an_answer_that_finds_no_worker_half_way_is_gone_on_with_later(tmp_path):
    async def scenario():
        worker = Worker("a", [("die", 40), ("refuse", Reason.OVERLOADED)])
        async with gateways(tmp_path, worker=worker, pace=0.02) as (one, _):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            with pytest.raises(PlatformError) as nowhere:
                await one.perform("job_1", body(ANSWER), "job_1/0")
            assert nowhere.value.reason in (Reason.NO_WORKER, Reason.OVERLOADED)
            worker.channel.restore()

            said = await one.insist("job_1", body(ANSWER), "job_1/0")
            assert said.text == TEXT
            assert len(worker.requests[-1][0].resume.choices[0].token_ids) > 0
            await settled_once(one, said.outcome, reserved)

    run_real(scenario())


def test_a_caller_that_leaves_stops_nothing(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.01) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = one.begin("job_1", body(ANSWER), "job_1/0")
            await until(lambda: asked(worker))
            first.cancel()
            said = await two.perform("job_1", body(ANSWER), "job_1/0")
            assert (said.text, said.outcome.replayed, len(worker.requests)) == (TEXT, True, 1)
            await settled_once(two, said.outcome, reserved)

    run_real(scenario())


async def asked(worker):
    return bool(worker.requests)


def test_it_is_told_how_far_an_answer_is(tmp_path):
    async def scenario():
        async with gateways(tmp_path, pace=0.05) as (one, _):
            await one.reserve("job_1", body(ANSWER))
            said = await one.perform("job_1", body(ANSWER), "job_1/0")
            assert len(said.tokens) >= 2
            assert 0 < said.tokens[0] < said.tokens[1] < ANSWER

    run_real(scenario())


@pytest.mark.parametrize("elsewhere", [False, True], ids=["at its gateway", "at another one"])
def test_what_was_made_of_an_abandoned_answer_is_charged_and_nobody_gets_the_rest(tmp_path, elsewhere):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.02) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(2000))).reserved_nanodollars
            first = asyncio.create_task(one.perform("job_1", body(2000), "job_1/0"))
            await until(lambda: logged(two))
            await (two if elsewhere else one).abandon("job_1", "job_1/0")
            outcome = (await first).outcome
            assert outcome.status_code == 499
            assert worker.cancelled == 1
            again = (await two.perform("job_1", body(2000), "job_1/0")).outcome
            assert again.status_code == 499
            assert len(worker.requests) == 1
            await one.release("job_1")
            totals = await one.at_rest()
            assert 0 < totals.settled < reserved / 2

    run_real(scenario())


def test_what_is_abandoned_before_it_begins_never_begins(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, worker):
            reserved = (await one.reserve("job_1", body(6))).reserved_nanodollars
            await one.abandon("job_1", "job_1/0")
            await one.abandon("job_1", "job_1/0")
            assert (await one.perform("job_1", body(6), "job_1/0")).outcome.status_code == 499
            assert not worker.requests
            assert (await one.at_rest(held=reserved)).settled == 0

    run_real(scenario())


def test_an_answer_that_is_whole_cannot_be_abandoned(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            await one.reserve("job_1", body(6))
            first = await one.perform("job_1", body(6), "job_1/0")
            await one.abandon("job_1", "job_1/0")
            assert (await one.perform("job_1", body(6), "job_1/0")).outcome.body == first.outcome.body

    run_real(scenario())


def test_a_released_reservation_pays_for_nothing_more(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, worker):
            await one.reserve("job_1", body(6))
            await one.release("job_1")
            for reservation in ("job_1", "job_never"):
                outcome = (await one.perform(reservation, body(6), "job_1/0")).outcome
                assert outcome.status_code == 409
            assert not worker.requests

    run_real(scenario())


def test_an_answer_too_long_to_be_kept_is_told_once_and_then_said_to_be_lost(tmp_path):
    async def scenario():
        async with gateways(tmp_path, work={"answer_bytes_max": 1024}) as (one, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = await one.perform("job_1", body(ANSWER), "job_1/0")
            assert first.text == TEXT
            again = await one.perform("job_1", body(ANSWER), "job_1/0")
            assert again.outcome.status_code == 413
            assert "made and is charged" in again.error["message"]
            assert len(worker.requests) == 1
            await settled_once(one, first.outcome, reserved)

    run_real(scenario())


@pytest.mark.parametrize("how", ["blocked", "deleted", "models"])
def test_what_the_key_may_is_looked_up_each_time(tmp_path, how):
    async def scenario():
        async with gateways(tmp_path) as (one, worker):
            reserved = (await one.reserve("job_1", body(6), body(6))).reserved_nanodollars
            first = (await one.perform("job_1", body(6), "job_1/0")).outcome
            after = {
                "blocked": replace(KEY, blocked=True),
                "deleted": None,
                "models": replace(KEY, limits=Limits(models=("other",))),
            }[how]
            await one.change(KEY, after)
            outcome = (await one.perform("job_1", body(6), "job_1/1")).outcome
            assert outcome.status_code == (403 if how == "models" else 401)
            assert len(worker.requests) == 1
            assert (await one.at_rest(held=reserved - first.cost_nanodollars)).settled == first.cost_nanodollars
            if how != "models":
                with pytest.raises(PlatformError) as refused:
                    await one.reserve("job_2", body(6))
                assert refused.value.reason is Reason.INVALID_API_KEY

    run_real(scenario())


def test_a_model_whose_workers_are_away_is_waited_for_and_one_that_never_was_is_not(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            await one.reserve("job_1", body(6))
            found = await one.reserve("batch_1", body(6), body(6, model="nonsense"), batch=True)
            assert found.models == ["m", ""]
            outcome = (await one.perform("batch_1", body(6, model="nonsense"), "batch_1/1")).outcome
            assert outcome.status_code == 404
            # The router has lost all its workers, as one that has just started.
            one.world.router.names = []
            one.world.router.changed.set()

            async def gone():
                return not one.world.pipeline.models()

            await until(gone)
            with pytest.raises(PlatformError) as away:
                await one.perform("job_1", body(6), "job_1/0")
            assert away.value.reason is Reason.NO_WORKER

    run_real(scenario())
