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
            encoders, model = world.pipeline._services.preparer._encoders, world.pipeline.models()[0]
            await until(lambda: encoders.cached(model))
            assert not worker.requests
            assert whole(await world.answer())
            assert worker.fetched == 1

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
