"""What is asked together is answered one by one, and nobody waits for ever."""

from __future__ import annotations

import asyncio

import pytest

from libs.testing.loop import run
from services.jobs.usecases.coalesce import Coalescer


def test_a_call_that_answers_too_few_fails_those_without_an_answer_and_the_next_go_on():
    async def main():
        short = [True]

        async def call(tenant, asks):
            return [ask * 2 for ask in asks][: 2 if short[0] else None]

        asked = Coalescer(call, "double")
        async with asyncio.timeout(5.0):
            told = await asyncio.gather(*(asked.ask("acme", number) for number in range(3)), return_exceptions=True)
        assert told[:2] == [0, 2]
        assert isinstance(told[2], ValueError)
        short[0] = False
        assert await asyncio.gather(*(asked.ask("acme", number) for number in range(3))) == [0, 2, 4]

    run(main())


def test_a_failure_belongs_to_each_that_asked_and_to_no_other():
    async def main():
        async def call(tenant, asks):
            if tenant == "down":
                raise ConnectionError(tenant)
            return list(asks)

        asked = Coalescer(call, "echo")
        lost = [asyncio.ensure_future(asked.ask("down", number)) for number in range(2)]
        assert await asked.ask("up", 7) == 7
        for each in lost:
            with pytest.raises(ConnectionError):
                await each

    run(main())
