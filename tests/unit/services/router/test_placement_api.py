"""Blocks, capacity and reports over the composed router, through channels."""

import asyncio

import numpy as np
import pytest
from headrace.router.v1 import router_pb2 as router

from libs.block_hash import packed
from libs.errors import PlatformError, Reason
from libs.testing.loop import run
from services.router.api import LIST_WORKERS, PLACE, REPORT, WATCH_CAPACITY, RouterApi
from services.router.usecases.placing import Placed
from tests.unit.services.router.fake_worker import FakeWorker
from tests.unit.services.router.test_api import client_of


def caching(name, **fields):
    worker = FakeWorker(name, **fields)
    worker.kv = 16
    return worker


def ask(numbers, **fields):
    hashes = np.array(list(numbers), np.uint64)
    return router.PlaceRequest(
        tenant="t", model="m", prompt_tokens=16 * len(hashes) + 1, blocks=packed(hashes), **fields
    )


def report(**fields):
    return router.ReportRequest(outcomes=[router.Outcomes(model="m", boot_id="b1", **fields)])


def test_a_prompt_goes_where_a_worker_says_its_blocks_are():
    async def scenario():
        a, b = caching("w0"), caching("w1")
        async with client_of(a=a, b=b) as (channel, _):
            b.say(blocks=set(range(1, 9)))
            await asyncio.sleep(0.01)
            plan = await channel.call(PLACE, ask(range(1, 11)), timeout=1)
            first = plan.candidates[0]
            assert (first.worker, first.reason, first.cached_tokens, plan.predicted) == ("w1", "prefix", 128, True)
            assert first.cost < plan.candidates[1].cost
            b.say(blocks=set(range(1, 3)))
            await asyncio.sleep(12)  # what was just sent there is no longer expected
            plan = await channel.call(PLACE, ask(range(1, 11)), timeout=1)
            assert {each.worker: each.cached_tokens for each in plan.candidates} == {"w1": 32, "w0": 0}

    run(scenario())


def test_what_was_sent_is_written_down_behind_the_reply_and_without_a_further_call():
    async def scenario():
        for quick in (True, False):
            placing = SentPlacing()
            api = RouterApi(None, placing, None, None, None)
            if quick:
                api.place_at_once(ask([1]), None)
                api.place_at_once(ask([1]), None)
            else:
                await api.place(ask([1]), None)
            await asyncio.sleep(0)  # here a trunk writes
            assert placing.unnoted
            await asyncio.sleep(0)
            assert (placing.unnoted, placing.notes) == (False, 1)

    run(scenario())


class SentPlacing:
    """Placing as the API knows it: something is to be noted after each plan."""

    def __init__(self):
        self.unnoted, self.notes = False, 0

    def at_once(self, query):
        self.unnoted = True
        return Placed([], 0, uncertain=False)

    async def place(self, query):
        return self.at_once(query)

    def note(self):
        self.unnoted, self.notes = False, self.notes + 1


def test_the_blocks_of_a_worker_that_restarts_are_gone_at_once():
    async def scenario():
        a, b = caching("w0"), caching("w1")
        async with client_of(a=a, b=b) as (channel, net):
            b.say(blocks=set(range(1, 9)))
            await asyncio.sleep(0.01)
            net.kill("b:1")
            b.restart("b2")
            b.blocks = set()
            net.down.clear()
            await asyncio.sleep(2)
            plan = await channel.call(PLACE, ask(range(1, 11)), timeout=1)
            assert {each.worker: each.cached_tokens for each in plan.candidates} == {"w0": 0, "w1": 0}

    run(scenario())


def test_operators_are_not_sent_the_blocks():
    async def scenario():
        a = caching("w0")
        async with client_of(a=a) as (channel, _):
            a.say(blocks={1, 2})
            await asyncio.sleep(0.01)
            seen = (await channel.call(LIST_WORKERS, router.ListWorkersRequest(), timeout=1)).workers
            assert (seen[0].last.blocks_held, seen[0].last.stored) == (2, b"")

    run(scenario())


def test_answers_that_were_not_as_cached_as_foreseen_make_a_worker_tell_everything_again():
    async def scenario():
        a = caching("w0")
        async with client_of(a=a) as (channel, _):
            wrong = report(worker="w0", predictions=30, cached_tokens_predicted=3000, cached_tokens_reported=100)
            await channel.call(REPORT, wrong, timeout=1)
            await asyncio.sleep(1)
            assert a.subscribed == 2
            await channel.call(REPORT, wrong, timeout=1)
            await asyncio.sleep(1)
            assert a.subscribed == 2  # not in a spin

    run(scenario())


def test_what_is_said_of_an_earlier_life_is_left_out():
    async def scenario():
        a = caching("w0", boot="b2")
        async with client_of(a=a) as (channel, _):
            await channel.call(REPORT, report(worker="w0", predictions=99, cached_tokens_predicted=999), timeout=1)
            await asyncio.sleep(1)
            assert a.subscribed == 1

    run(scenario())


def test_a_worker_that_fails_where_others_do_not_is_ejected_and_let_back():
    async def scenario():
        async with client_of(a=FakeWorker("w0"), b=FakeWorker("w1")) as (channel, _):

            async def state():
                workers = (await channel.call(LIST_WORKERS, router.ListWorkersRequest(), timeout=1)).workers
                return [each.state for each in workers]

            await channel.call(REPORT, report(worker="w0", attempts=30, failures=20), timeout=1)
            await channel.call(REPORT, report(worker="w1", attempts=30), timeout=1)
            await asyncio.sleep(6)
            assert await state() == ["ejected", "live"]
            plan = await channel.call(PLACE, ask([1]), timeout=1)
            assert [each.worker for each in plan.candidates] == ["w1"]
            await asyncio.sleep(30)
            assert await state() == ["live", "live"]

    run(scenario())


def test_capacity_is_told_at_once_after_changes_and_every_second():
    async def scenario():
        a, b = caching("w0"), caching("w1")
        async with client_of(a=a, b=b) as (channel, _):
            loop = asyncio.get_running_loop()
            stream = channel.stream(WATCH_CAPACITY, router.WatchCapacityRequest(pool="m"), timeout=100)
            start = loop.time()
            first = await anext(stream)
            assert (first.workers, first.running, first.slots_idle, first.queue_wait_ms) == (2, 0, 16, 0)
            assert loop.time() - start < 0.01
            await anext(stream)
            assert 0.9 < loop.time() - start < 1.1
            start = loop.time()
            a.say(running=3)
            b.say(running=8, waiting=2)
            changed = await anext(stream)
            assert (changed.running, changed.waiting, changed.slots_idle) == (11, 2, 5)
            assert loop.time() - start < 0.15
            for n in range(200):  # a storm of changes
                a.say(running=n % 5)
                await asyncio.sleep(0.005)
            told = await stream.next_batch()
            assert 1 <= len(told) <= 12
            stream.cancel()

    run(scenario())


def test_a_pool_whose_workers_are_away_has_no_capacity_and_an_unknown_one_is_not_found():
    async def scenario():
        async with client_of(a=caching("w0")) as (channel, net):
            net.kill("a:1")
            await asyncio.sleep(0.05)
            stream = channel.stream(WATCH_CAPACITY, router.WatchCapacityRequest(pool="m"), timeout=100)
            assert (await anext(stream)).workers == 0
            stream.cancel()
            with pytest.raises(PlatformError) as caught:
                await anext(channel.stream(WATCH_CAPACITY, router.WatchCapacityRequest(pool="x"), timeout=100))
            assert caught.value.reason is Reason.MODEL_NOT_FOUND

    run(scenario())
