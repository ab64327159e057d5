from __future__ import annotations

import asyncio

from headrace.inference.v1 import inference_pb2 as ipb

from libs.testing.loop import run
from tests.unit.services.gateway.usecases.world import Worker, World, capable, whole


async def until(condition):
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that")


def test_a_models_tokenizer_is_there_before_its_first_call(tmp_path):
    async def scenario():
        worker = Worker("a")
        async with World([worker], tmp_path, warm=True) as world:
            await until(world.pipeline.ready)
            assert not worker.requests
            assert whole(await world.answer())
            assert worker.fetched == 1

    run(scenario())


def test_the_gateway_is_not_ready_before_a_tokenizer_is_there(tmp_path):
    async def scenario():
        worker = Worker("a")
        worker.hold_fetch = asyncio.Event()
        async with World([worker], tmp_path, warm=True) as world:
            await until(lambda: worker.fetched)
            await world.clock.sleep(1)
            assert world.pipeline.models()[0].addresses
            assert not world.pipeline.ready()
            worker.hold_fetch.set()
            await until(world.pipeline.ready)

    run(scenario())


def test_a_fetch_that_fails_is_tried_again_without_a_call(tmp_path):
    async def scenario():
        worker = Worker("a")
        fetch, failed = worker.fetch, []

        async def fail_twice(request, responder, info):
            failed.append(1)
            if len(failed) <= 2:
                raise OSError
            await fetch(request, responder, info)

        worker.fetch = fail_twice
        async with World([worker], tmp_path, warm=True) as world:
            await until(lambda: failed)
            assert not world.pipeline.ready()
            for _ in range(3):
                await world.clock.sleep(1)
                await asyncio.sleep(0.05)
            await until(world.pipeline.ready)
            assert not worker.requests

    run(scenario())


def test_a_fetch_that_fails_is_tried_again_by_the_call_that_needs_it(tmp_path):
    async def scenario():
        worker = Worker("a")
        fetch, failed = worker.fetch, []

        async def fail_once(request, responder, info):
            if not failed:
                failed.append(1)
                raise OSError
            await fetch(request, responder, info)

        worker.fetch = fail_once
        async with World([worker], tmp_path, warm=True) as world:
            await until(lambda: failed)
            assert whole(await world.answer())

    run(scenario())


def test_engines_that_take_turns_have_none_to_load(tmp_path):
    async def scenario():
        worker = Worker("a")
        world = World([worker], tmp_path, warm=True)
        world.router.capabilities = capable(prompt=ipb.PROMPT_FORM_MESSAGES)
        async with world:
            await world.clock.sleep(5)
            assert worker.fetched == 0

    run(scenario())
