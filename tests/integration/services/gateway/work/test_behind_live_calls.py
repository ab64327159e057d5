"""Jobs' calls are behind all live ones, at their gateway too: they take what is spare at once, or come back."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run_real
from services.gateway.api.grpc_work import WorkLimits
from tests.integration.services.gateway.work.test_once import ANSWER, TEXT, logged, settled_once
from tests.integration.services.gateway.work.world import body, gateways, until
from tests.unit.services.gateway.usecases.world import Worker


def take_all(gateway):
    """Live calls have all places; who has them."""
    room, held = gateway.world.pipeline._services.means.room, []
    while (ticket := room.enter("m", "somebody")) is not None:
        held.append(ticket)
    return room, held


def test_without_a_spare_place_it_comes_back_and_nothing_was_begun(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, worker):
            reserved = (await one.reserve("job_1", body(6))).reserved_nanodollars
            room, held = take_all(one)
            for _ in range(20):
                with pytest.raises(PlatformError) as none:
                    await one.perform("job_1", body(6), "job_1/0")
                assert (none.value.reason, none.value.started) == (Reason.OVERLOADED, False)
            assert not worker.requests
            assert await one.events() == []
            assert len(room) == 0
            room.leave(held.pop())
            # The place that became free is a live call's: a share stays spare for them.
            with pytest.raises(PlatformError):
                await one.perform("job_1", body(6), "job_1/0")
            for ticket in held:
                room.leave(ticket)
            said = await one.perform("job_1", body(6), "job_1/0")
            assert said.outcome.status_code == 200
            await settled_once(one, said.outcome, reserved)

    run_real(scenario())


def test_refused_by_the_worker_it_does_not_queue(tmp_path):
    async def scenario():
        async with gateways(tmp_path, worker=Worker("a", [("refuse", Reason.OVERLOADED)])) as (one, _):
            await one.reserve("job_1", body(6))
            room = one.world.pipeline._services.means.room
            with pytest.raises(PlatformError) as refused:
                await one.perform("job_1", body(6), "job_1/0")
            assert refused.value.reason is Reason.OVERLOADED
            assert not room.has_queue("m")
            # Its worker asked for a pause.
            assert (await one.insist("job_1", body(6), "job_1/0")).outcome.status_code == 200

    run_real(scenario())


def test_an_answer_that_was_begun_waits_for_a_spare_place_as_long_as_it_takes(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2, pace=0.03) as (one, two, worker):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            first = asyncio.create_task(one.perform("job_1", body(ANSWER), "job_1/0"))
            await until(lambda: logged(two))
            await one.kill()
            with pytest.raises(PlatformError):
                await first
            room, held = take_all(two)
            for _ in range(8):
                with pytest.raises(PlatformError) as none:
                    await two.perform("job_1", body(ANSWER), "job_1/0")
                assert none.value.reason is Reason.OVERLOADED
            for ticket in held:
                room.leave(ticket)
            said = await two.perform("job_1", body(ANSWER), "job_1/0")
            assert said.text == TEXT
            # It was not made anew.
            assert len(worker.requests[-1][0].resume.choices[0].token_ids) > 0
            await settled_once(two, said.outcome, reserved)

    run_real(scenario())


def test_an_answer_that_broke_costs_nothing_and_is_made_anew(tmp_path):
    async def scenario():
        async with gateways(tmp_path, worker=Worker("a", [("fail", 40)]), pace=0.01) as (one, _):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            with pytest.raises(PlatformError) as broke:
                await one.perform("job_1", body(ANSWER), "job_1/0")
            assert broke.value.reason in (Reason.INTERNAL, Reason.STREAM_INTERRUPTED)
            assert (await one.at_rest(held=reserved)).settled == 0
            said = await one.perform("job_1", body(ANSWER), "job_1/0")
            assert said.text == TEXT
            await settled_once(one, said.outcome, reserved)

    run_real(scenario())


def test_a_worker_that_fails_costs_live_calls_no_retry(tmp_path):
    async def scenario():
        async with gateways(tmp_path, worker=Worker("a", [("fail", 0)])) as (one, worker):
            budget, taken = one.world.pipeline._services.means.budget, []
            take = budget.take
            budget.take = lambda: taken.append(1) or take()
            await one.reserve("job_1", body(6))
            with pytest.raises(PlatformError) as failed:
                await one.perform("job_1", body(6), "job_1/0")
            assert failed.value.reason is Reason.INTERNAL
            assert (len(worker.requests), taken) == (1, [])

    run_real(scenario())


def test_requests_are_looked_at_between_other_things(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            await one.reserve("job_0", body(6))
            turns = 0

            async def live():
                nonlocal turns
                while True:
                    turns += 1
                    await asyncio.sleep(0)

            beside = asyncio.create_task(live())
            await one.reserve("job_1", *[body(6, text=f"{n}") for n in range(50)])
            beside.cancel()
            assert turns >= 50

    run_real(scenario())


def test_an_answer_too_large_to_be_told_says_what_it_cost(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            reserved = (await one.reserve("job_1", body(ANSWER))).reserved_nanodollars
            small = dataclasses.replace(one.work, limits=WorkLimits(body_bytes_max=100))
            one.channel = InMemoryChannel(small.handlers(), identity="jobs")
            said = await one.perform("job_1", body(ANSWER), "job_1/0")
            assert (said.outcome.status_code, said.error["code"]) == (413, "payload_too_large")
            assert said.outcome.completion_tokens == ANSWER
            await settled_once(one, said.outcome, reserved)

    run_real(scenario())
