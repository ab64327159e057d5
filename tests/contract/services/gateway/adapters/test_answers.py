"""Answers under an idempotency key: the same checks on the twin that other tests run on, and on a real store."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from libs.valkey import Valkey
from services.gateway.adapters.idempotency import READ_ENTRIES, AnswerLimits, ValkeyAnswers
from services.gateway.domain.idempotency import Claim, Claimed, Kept, Keyed, Page, Slot, State, Verdict
from tests.unit.services.gateway.usecases.answers import MemoryAnswers

SLOT = Slot("acme", "d1")
KEY = "hr:idem:{acme}:d1"
CALL = Keyed(SLOT, "body-1")
LIMITS = {"lease_seconds": 0.2, "keep_seconds": 60.0, "bytes_max": 100}


@dataclass
class Store:
    """`lapse` ends the lease, and `forget` the answer's time, as if they had passed."""

    answers: Any
    kill: Any
    lapse: Any
    forget: Any
    valkey: Any = None


@asynccontextmanager
async def fake(**limits):
    clock = FakeClock()
    answers = MemoryAnswers(clock, AnswerLimits(**LIMITS | limits))

    def kill():
        answers.down = True

    async def lapse():
        clock.advance(0.25)

    async def forget():
        clock.advance(61)

    yield Store(answers, kill, lapse, forget)


@asynccontextmanager
async def real(**limits):
    with ValkeyProcess() as process:
        valkey = Valkey(process.settings(op_timeout_ms=1000))
        await valkey.ready()
        try:
            answers = ValkeyAnswers(valkey, AnswerLimits(**LIMITS | {"lease_seconds": 60.0} | limits))

            async def lapse():
                await valkey.command("HSET", KEY, "until", 1)

            async def forget():
                for key in (KEY, f"{KEY}:log"):
                    await valkey.command("PEXPIREAT", key, 1)

            yield Store(answers, process.kill, lapse, forget, valkey)
        finally:
            await valkey.close()


both = pytest.mark.parametrize("make", [fake, real])


def claim(owner="one", answer="a1", run="r1", created=7):
    return Claim(owner, answer, run, created)


async def logged(answers, *entries, owner="one", generation=1):
    for number, entry in enumerate(entries):
        assert await answers.append(SLOT, owner, generation, number, entry) is Kept.YES


@both
def test_the_first_owns_and_a_repeat_of_its_claim_changes_nothing(make):
    async def scenario():
        async with make() as store:
            for _ in range(2):
                assert await store.answers.claim(CALL, claim()) == Claimed(Verdict.OWN, "a1", "r1", 7, 1)

    run_real(scenario())


@both
def test_of_many_claims_at_the_same_moment_one_owns(make):
    async def scenario():
        async with make() as store:
            claims = [store.answers.claim(CALL, claim(f"owner-{n}", f"a{n}", f"r{n}")) for n in range(50)]
            found = await asyncio.gather(*claims)
            assert sorted(one.verdict for one in found) == [Verdict.OWN] + [Verdict.RUNNING] * 49
            assert len({one.run_id for one in found}) == 1

    run_real(scenario())


@both
def test_another_call_is_a_mismatch_and_learns_nothing(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            other = await store.answers.claim(Keyed(SLOT, "body-2"), claim("two"))
            assert other == Claimed(Verdict.MISMATCH)

    run_real(scenario())


@both
def test_tenants_and_keys_are_apart(make):
    async def scenario():
        async with make() as store:
            for slot in (SLOT, Slot("acme", "d2"), Slot("other", "d1")):
                found = await store.answers.claim(Keyed(slot, "body-1"), claim(f"{slot}"))
                assert found.verdict is Verdict.OWN

    run_real(scenario())


@both
def test_what_is_logged_is_read_in_order_page_by_page(make):
    async def scenario():
        async with make(bytes_max=10_000) as store:
            await store.answers.claim(CALL, claim())
            entries = [b"entry-%d" % n for n in range(READ_ENTRIES + 3)]
            await logged(store.answers, *entries)
            first = await store.answers.read(SLOT, 0, 1)
            assert (first.state, first.run_id, first.generation) == (State.RUNNING, "r1", 1)
            assert list(first.entries) == entries[:READ_ENTRIES]
            rest = await store.answers.read(SLOT, READ_ENTRIES, 1)
            assert list(rest.entries) == entries[READ_ENTRIES:]
            assert list((await store.answers.read(SLOT, len(entries), 1)).entries) == []

    run_real(scenario())


@both
def test_a_repeated_entry_is_there_once(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x", b"y")
            await logged(store.answers, b"x", b"y")
            assert list((await store.answers.read(SLOT, 0, 1)).entries) == [b"x", b"y"]

    run_real(scenario())


@both
def test_a_finished_answer_is_done_for_all_who_ask(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            for _ in range(2):
                assert await store.answers.finish(SLOT, "one", State.DONE) is Kept.YES
            assert await store.answers.claim(CALL, claim("two", "a2", "r2", 9)) == Claimed(
                Verdict.DONE, "a1", "r1", 7, 1
            )
            page = await store.answers.read(SLOT, 0, 1)
            assert (page.state, page.lapsed, list(page.entries)) == (State.DONE, False, [b"x"])

    run_real(scenario())


@both
def test_a_broken_answer_is_made_anew_by_the_next(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            await store.answers.finish(SLOT, "one", State.BROKEN)
            assert (await store.answers.read(SLOT, 0, 1)).state is State.BROKEN
            found = await store.answers.claim(CALL, claim("two", "a2", "r2", 9))
            assert found == Claimed(Verdict.OWN, "a2", "r2", 9, 2)
            page = await store.answers.read(SLOT, 0, 1)
            assert (page.state, page.run_id, page.generation, list(page.entries)) == (State.RUNNING, "r2", 2, [])

    run_real(scenario())


@both
def test_a_released_key_is_free_and_only_its_owner_releases(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await store.answers.release(SLOT, "two")
            assert (await store.answers.read(SLOT, 0, 1)).state is State.RUNNING
            await store.answers.release(SLOT, "one")
            assert await store.answers.read(SLOT, 0, 1) == Page(State.FREE)
            assert (await store.answers.claim(Keyed(SLOT, "body-2"), claim("two"))).verdict is Verdict.OWN

    run_real(scenario())


@both
def test_an_owner_that_is_silent_is_followed_by_one_and_can_write_no_more(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            assert (await store.answers.claim(CALL, claim("two", "a2", "r2"))).verdict is Verdict.RUNNING
            await store.lapse()
            assert (await store.answers.read(SLOT, 0, 1)).lapsed
            claims = [store.answers.claim(CALL, claim(name, "a2", "r2")) for name in ("two", "three")]
            found = await asyncio.gather(*claims)
            assert sorted(one.verdict for one in found) == [Verdict.RUNNING, Verdict.TAKEN]
            assert {(one.answer_id, one.run_id) for one in found} == {("a1", "r1")}
            assert await store.answers.append(SLOT, "one", 1, 1, b"y") is Kept.LOST
            assert await store.answers.finish(SLOT, "one", State.DONE) is Kept.LOST
            await store.answers.release(SLOT, "one")
            assert list((await store.answers.read(SLOT, 0, 1)).entries) == [b"x"]

    run_real(scenario())


@both
def test_an_empty_entry_renews_the_lease(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await store.lapse()
            assert (await store.answers.read(SLOT, 0, 1)).lapsed
            assert await store.answers.append(SLOT, "one", 1, 0, b"") is Kept.YES
            page = await store.answers.read(SLOT, 0, 1)
            assert (page.lapsed, list(page.entries)) == (False, [])

    run_real(scenario())


@both
def test_a_later_generation_begins_the_log_anew(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"old", b"older")
            await logged(store.answers, b"new", generation=2)
            await logged(store.answers, b"new", generation=2)
            assert list((await store.answers.read(SLOT, 0, 1)).entries) == []
            page = await store.answers.read(SLOT, 0, 2)
            assert (page.generation, list(page.entries)) == (2, [b"new"])

    run_real(scenario())


@both
def test_an_answer_that_is_too_long_is_not_kept_and_says_so(make):
    async def scenario():
        async with make(bytes_max=10) as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x" * 10)
            assert await store.answers.append(SLOT, "one", 1, 1, b"y") is Kept.LARGE
            assert await store.answers.append(SLOT, "one", 1, 2, b"z") is Kept.LARGE
            page = await store.answers.read(SLOT, 0, 1)
            assert (page.state, list(page.entries)) == (State.LARGE, [])
            assert (await store.answers.claim(CALL, claim("two"))).verdict is Verdict.LARGE
            assert await store.answers.finish(SLOT, "one", State.DONE) is Kept.LARGE
            assert (await store.answers.claim(CALL, claim("two"))).verdict is Verdict.LARGE

    run_real(scenario())


@both
def test_an_answer_is_forgotten_after_its_time(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            await store.answers.finish(SLOT, "one", State.DONE)
            await store.forget()
            assert await store.answers.read(SLOT, 0, 1) == Page(State.FREE)
            assert (await store.answers.claim(CALL, claim("two"))).verdict is Verdict.OWN

    run_real(scenario())


def test_a_log_of_which_the_store_has_lost_a_part_is_no_answer():
    async def scenario():
        async with real() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x", b"y")
            await store.valkey.command("DEL", f"{KEY}:log")
            assert await store.answers.append(SLOT, "one", 1, 2, b"z") is Kept.LARGE

    run_real(scenario())


def test_nothing_stays_in_the_store_for_ever():
    async def scenario():
        async with real() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x", b"y")
            for key in await store.valkey.command("KEYS", "*"):
                assert 0 < await store.valkey.command("PTTL", key) <= 60_000

    run_real(scenario())


@both
def test_a_dead_store_says_so(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            store.kill()
            with pytest.raises(PlatformError) as caught:
                await store.answers.claim(CALL, claim("two"))
            assert (caught.value.reason, caught.value.started) == (Reason.STORE_UNAVAILABLE, False)

    run_real(scenario())


@both
def test_an_abandoned_answer_is_nobodys(make):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            for _ in range(2):
                await store.answers.abandon(SLOT)
            assert await store.answers.append(SLOT, "one", 1, 1, b"y") is Kept.ABANDONED
            assert await store.answers.finish(SLOT, "one", State.DONE) is Kept.LOST
            page = await store.answers.read(SLOT, 0, 1)
            assert (page.state, page.run_id, list(page.entries)) == (State.ABANDONED, "r1", [])
            await store.answers.release(SLOT, "one")
            assert await store.answers.claim(CALL, claim("two")) == Claimed(Verdict.ABANDONED)

    run_real(scenario())


@both
def test_what_was_abandoned_before_it_began_never_begins(make):
    async def scenario():
        async with make() as store:
            await store.answers.abandon(SLOT)
            assert await store.answers.claim(CALL, claim()) == Claimed(Verdict.ABANDONED)
            assert (await store.answers.read(SLOT, 0, 1)).state is State.ABANDONED
            await store.forget()
            assert (await store.answers.claim(CALL, claim())).verdict is Verdict.OWN

    run_real(scenario())


@both
@pytest.mark.parametrize("state", [State.DONE, State.BROKEN])
def test_an_answer_that_is_whole_cannot_be_abandoned(make, state):
    async def scenario():
        async with make() as store:
            await store.answers.claim(CALL, claim())
            await logged(store.answers, b"x")
            await store.answers.finish(SLOT, "one", state)
            await store.answers.abandon(SLOT)
            found = (await store.answers.claim(CALL, claim("two"))).verdict
            assert found is (Verdict.DONE if state is State.DONE else Verdict.ABANDONED)

    run_real(scenario())
