"""Stand-ins: the same checks on the twin that other tests run on, and on a real store."""

from __future__ import annotations

from contextlib import asynccontextmanager

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.cached_answers import CachedLimits, ValkeyCachedAnswers
from tests.unit.services.gateway.usecases.cached_answers import MemoryCachedAnswers

LIMITS = CachedLimits(seconds=60.0, answers_max=3)


@asynccontextmanager
async def fake():
    answers = MemoryCachedAnswers(FakeClock(), LIMITS)

    def kill():
        answers.down = True

    yield answers, kill, None


@asynccontextmanager
async def real():
    with ValkeyProcess() as process:
        valkey = Valkey(process.settings(op_timeout_ms=1000))
        await valkey.ready()
        try:
            yield ValkeyCachedAnswers(valkey, LIMITS, lambda: 0.5), process.kill, valkey
        finally:
            await valkey.close()


@pytest.mark.parametrize("store", [fake, real])
def test_an_answer_is_found_by_its_tenant_and_replaced(store):
    async def scenario():
        async with store() as (answers, _, _):
            assert await answers.find("acme", "d1") is None
            await answers.keep("acme", "d1", b"one")
            await answers.keep("acme", "d1", b"two \x00\xff")
            assert await answers.find("acme", "d1") == b"two \x00\xff"
            assert await answers.find("other", "d1") is None
            assert await answers.find("acme", "d2") is None

    run_real(scenario())


@pytest.mark.parametrize("store", [fake, real])
def test_a_tenants_oldest_make_room_and_nobody_elses(store):
    async def scenario():
        async with store() as (answers, _, _):
            await answers.keep("other", "d0", b"x")
            for number in range(5):
                await answers.keep("acme", f"d{number}", b"x")
            found = [bool(await answers.find("acme", f"d{number}")) for number in range(5)]
            assert (sum(found), found[4]) == (3, True)
            assert await answers.find("other", "d0")

    run_real(scenario())


@pytest.mark.parametrize("store", [fake, real])
def test_a_store_that_is_away_is_an_error(store):
    async def scenario():
        async with store() as (answers, kill, _):
            kill()
            for asked in (answers.find("acme", "d1"), answers.keep("acme", "d1", b"x")):
                with pytest.raises(PlatformError) as caught:
                    await asked
                assert caught.value.reason is Reason.STORE_UNAVAILABLE

    run_real(scenario())


def test_every_key_has_its_end_a_little_apart():
    async def scenario():
        async with real() as (answers, _, valkey):
            await answers.keep("acme", "d1", b"x")
            keys = await valkey.command("KEYS", "*")
            assert sorted(keys) == [b"hr:cached:{acme}", b"hr:cached:{acme}:d1"]
            answer, index = [
                await valkey.command("PTTL", key) for key in (keys if keys[0].endswith(b"d1") else keys[::-1])
            ]
            assert 56_000 < answer <= 57_000
            assert 59_000 < index <= 60_000

    run_real(scenario())
