"""What jobs pay: reserved, charged once, and the rest is free again, to the nano-dollar."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from headrace.gateway.v1 import work_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.testing.loop import run_real
from services.gateway.domain.accounts.records import Limits
from services.gateway.domain.ledger.types import Ask, Outcome, Progress, UsageMeta
from tests.integration.services.gateway.work.world import KEY, TENANT, body, gateways, price, total, until

replace = msgspec.structs.replace


def test_what_was_reserved_pays_and_the_rest_is_free_again(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            works = [body(6), body(10)]
            reserved = (await one.reserve("job_1", *works)).reserved_nanodollars
            assert (await one.totals()).held == reserved
            heard = [await one.perform("job_1", work, f"job_1/{step}") for step, work in enumerate(works)]
            costs = []
            for said, tokens in zip(heard, (6, 10), strict=True):
                end = said.outcome
                assert (end.status_code, end.completion_tokens, end.replayed) == (200, tokens, False)
                assert end.cost_nanodollars == price(end.prompt_tokens, end.cached_tokens, tokens)
                costs.append(end.cost_nanodollars)
            rest = await one.at_rest(held=reserved - sum(costs))
            assert rest.settled == sum(costs)
            assert await one.release("job_1") == reserved - sum(costs)
            assert (await one.at_rest()).settled == sum(costs)
            assert await one.release("job_1") == 0

    run_real(scenario())


def test_what_is_set_aside_is_the_most_that_the_requests_can_cost(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            found = await one.reserve("job_1", body(6), body(10, n=2))
            end = (await one.perform("job_1", body(6), "job_1/0")).outcome
            assert found.reserved_nanodollars == 2 * 1000 * end.prompt_tokens + 2000 * (6 + 2 * 10)
            assert found.models == ["m", "m"]

    run_real(scenario())


def test_a_batch_pays_the_share_that_was_promised(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            whole = (await one.reserve("job_1", body(6))).reserved_nanodollars
            half = (await one.reserve("batch_1", body(6), batch=True)).reserved_nanodollars
            assert 2 * half == whole
            # The next version of the settings promises something else.
            one.work.reserving._means = None
            end = (await one.perform("batch_1", body(6), "batch_1/0")).outcome
            cost = price(end.prompt_tokens, end.cached_tokens, 6, share=0.5)
            assert end.cost_nanodollars == cost
            await one.release("job_1", "batch_1")
            assert (await one.at_rest()).settled == cost
            (event,) = await one.events()
            assert (event.cost, event.meta.output_price) == (cost, 1000 * 1_000_000)

    run_real(scenario())


def test_a_long_answer_draws_on_the_reservation_where_nothing_else_has_room(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            work = body(3000)
            reserved = (await one.reserve("job_1", work)).reserved_nanodollars
            # The reservation is all that the tenant has.
            await one.change(TENANT, replace(TENANT, limits=total(reserved)))
            end = (await one.perform("job_1", work, "job_1/0")).outcome
            assert end.completion_tokens == 3000
            rest = await one.at_rest(held=reserved - end.cost_nanodollars)
            assert rest.settled == end.cost_nanodollars

    run_real(scenario())


def test_what_a_tenant_may_set_aside_is_capped(tmp_path):
    async def scenario():
        async with gateways(tmp_path, tenant=replace(TENANT, reservations_max_nanodollars=60_000)) as (one, _):
            first = (await one.reserve("job_1", body(6))).reserved_nanodollars
            with pytest.raises(PlatformError) as refused:
                await one.reserve("job_2", body(20))
            assert refused.value.reason is Reason.BUDGET_EXCEEDED
            assert "reservations of the tenant may hold 0.00006 USD in all" in refused.value.message
            assert "Lower max_tokens" in refused.value.message
            assert (await one.totals()).held == first

    run_real(scenario())


def test_what_a_budget_has_not_cannot_be_set_aside(tmp_path):
    async def scenario():
        async with gateways(tmp_path, key=replace(KEY, limits=total(40_000))) as (one, _):
            with pytest.raises(PlatformError) as refused:
                await one.reserve("job_1", body(60))
            assert refused.value.reason is Reason.BUDGET_EXCEEDED
            assert "budget of the API key (0.00004 USD, total)" in refused.value.message

    run_real(scenario())


def test_a_reservation_that_comes_again_changes_nothing(tmp_path):
    async def scenario():
        async with gateways(tmp_path, 2) as (one, two, _):
            first = await one.reserve("job_1", body(6), body(8))
            assert await two.reserve("job_1", body(6), body(8)) == first
            assert (await one.totals()).held == first.reserved_nanodollars
            await one.release("job_1")
            with pytest.raises(PlatformError) as refused:
                await two.reserve("job_1", body(6), body(8))
            assert refused.value.reason is Reason.CONFLICT
            await two.release("job_9")
            with pytest.raises(PlatformError):
                await one.reserve("job_9", body(6))
            assert (await one.totals()).held == 0

    run_real(scenario())


def test_jobs_take_nothing_of_the_minute_and_the_places_of_live_calls(tmp_path):
    limits = Limits(requests_per_minute=1, tokens_per_minute=50, parallel_requests=1)

    async def scenario():
        async with gateways(tmp_path, key=replace(KEY, limits=limits), pace=0.02) as (one, _):
            works = [body(20) for _ in range(4)]
            await one.reserve("job_1", *works)
            running = [asyncio.create_task(one.perform("job_1", work, f"job_1/{n}")) for n, work in enumerate(works)]
            await until(lambda: holds(one, 4))
            live = Ask("acme", "live", ("t", "u:ada", "k:key-1"), 10, 50, _META, Progress())
            ledger = one.money.store
            assert (await ledger.hold(await ledger.hello(), live, expire=False)).outcome is Outcome.OK
            assert [(await said).outcome.status_code for said in running] == [200] * 4

    run_real(scenario())


async def holds(gateway, count):
    return len(gateway.money.keeper._live) == count


_META = UsageMeta("key-1", "ada", "", "m", "", "", {}, 1, 1, 1)


@pytest.mark.parametrize("batch", [False, True])
def test_work_that_begins_again_after_its_end_asks_the_budgets(tmp_path, batch):
    limits = Limits(requests_per_minute=1, parallel_requests=1)
    caller = {"caller": pb.Caller(tenant="acme", key_id="key-1", user="ada"), "batch": batch}

    async def scenario():
        async with gateways(tmp_path, key=replace(KEY, limits=limits)) as (one, _):
            await one.reserve("job_1", body(6), body(6))
            await one.release("job_1")
            costs = []
            for step, name in enumerate(("job_1", "job_long_forgotten")):
                end = (await one.perform(name, body(6), f"job_1/{step}", **caller)).outcome
                assert end.status_code == 200
                costs.append(price(end.prompt_tokens, end.cached_tokens, 6, share=0.5 if batch else 1.0))
            assert (await one.at_rest()).settled == sum(costs)
            await one.change(TENANT, replace(TENANT, limits=total(sum(costs))))
            assert (await one.perform("job_1", body(6), "job_1/9", **caller)).outcome.status_code == 429
            assert (await one.at_rest()).settled == sum(costs)

    run_real(scenario())


def test_a_request_that_may_cost_more_than_was_set_aside_asks_the_budgets(tmp_path):
    async def scenario():
        async with gateways(tmp_path) as (one, _):
            reserved = (await one.reserve("job_1", body(6))).reserved_nanodollars
            await one.change(TENANT, replace(TENANT, limits=total(reserved)))
            outcome = (await one.perform("job_1", body(600), "job_1/0")).outcome
            assert outcome.status_code == 429
            assert b"insufficient_quota" in outcome.body
            assert (await one.at_rest(held=reserved)).settled == 0

    run_real(scenario())
