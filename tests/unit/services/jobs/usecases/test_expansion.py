"""A batch's file becomes parts, each paid for once whatever happens; or the batch fails and owes nothing."""

from __future__ import annotations

import asyncio

import pytest
from headrace.gateway.v1.work_pb2 import Work
from hypothesis import given
from hypothesis import strategies as st

from libs.errors import PlatformError, Reason
from libs.kafka import KafkaError
from libs.testing.loop import run
from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import JobState, NewJob
from services.jobs.usecases.expansion import viewer_of
from tests.unit.services.jobs.usecases.batch_rig import ANN, CHAT, JOB, Rig, line, lines, refusal


class CrashError(Exception):
    """The process ends here."""


class Crashing:
    """Lets so many calls of a port through and dies at the next one, before or after it has done its work."""

    def __init__(self, target, budget, methods):
        self._target, self._budget, self._methods = target, budget, methods

    def __getattr__(self, name):
        method = getattr(self._target, name)
        if name not in self._methods:
            return method

        async def called(*args, **kwargs):
            self._budget[0] -= 1
            if self._budget[0] == 0:
                if self._budget[1]:
                    await method(*args, **kwargs)
                raise CrashError
            return await method(*args, **kwargs)

        return called


def crash_at(rig, call, *, after):
    """An expander of the same rig that dies at its `call`th step outwards."""
    means, budget = rig.expander._means, [call, after]
    made = type(means)(
        acceptance=Crashing(means.acceptance, budget, {"add_parts", "confirm", "refuse"}),
        jobs=means.jobs,
        gateways=Crashing(means.gateways, budget, {"reserve", "release"}),
        files=means.files,
        outgoing=Crashing(means.outgoing, budget, {"request"}),
        agenda=means.agenda,
    )
    return type(rig.expander)(made)


def test_a_file_becomes_parts_that_are_paid_for_and_sent():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(120))
        return rig, await rig.expand(), await rig.parts()

    rig, job, parts = run(scenario())
    assert (job.state, job.total, job.reserved) == (JobState.REQUESTED, 120, 12_000)
    assert [(part.first, part.count) for part in parts] == [(0, 50), (50, 50), (100, 20)]
    assert rig.gateways.held == {f"{JOB}:0": 5000, f"{JOB}:1": 5000, f"{JOB}:2": 2000}
    assert [(due.tenant, due.task, due.job, due.part) for due in rig.outgoing.sent] == [
        (ANN.tenant, Task.SEND, JOB, number) for number in range(3)
    ]


def test_a_parts_requests_come_out_of_the_file_again():
    async def scenario():
        rig = Rig()
        await rig.batch(b"\r\n\n" + b"\n\n".join(line(f"r{n}", n=n, model=f"m{n % 3}") for n in range(70)))
        job = await rig.expand()
        return [await rig.batches.requests_of(job, part) for part in await rig.parts()]

    requests = [request for part in run(scenario()) for request in part]
    assert [(each.step, each.custom_id, each.model) for each in requests] == [
        (n, f"r{n}", f"m{n % 3}") for n in range(70)
    ]
    works = [Work.FromString(each.work) for each in requests]
    assert {work.path for work in works} == {CHAT}
    assert [work.body for work in works] == [b'{"model": "m%d", "n": %d}' % (n % 3, n) for n in range(70)]


def test_a_request_that_can_never_be_made_takes_its_place_and_costs_nothing():
    async def scenario():
        rig = Rig()
        await rig.batch(line("good") + b"\n" + line("bad", model="") + b"\n")
        job = await rig.expand()
        return rig, job, (await rig.parts())[0].models

    rig, job, models = run(scenario())
    assert (job.state, job.total, models) == (JobState.REQUESTED, 2, ("small", ""))
    assert rig.gateways.held == {f"{JOB}:0": 100}


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", [("empty_file", 0)]),
        (lines(3) + b"\n{", [("invalid_json_line", 5)]),
        (lines(60) + line("r7"), [("duplicate_custom_id", 61)]),
        (lines(2) + b"\xff\n" + line("z").replace(b"POST", b"PUT"), [("invalid_encoding", 3), ("invalid_method", 4)]),
        (lines(50_001), [("too_many_tasks", 50_001)]),
    ],
)
def test_a_file_with_a_fault_fails_its_batch_before_anything_is_paid_for(data, told):
    async def scenario():
        rig = Rig()
        await rig.batch(data)
        return rig, await rig.expand()

    rig, job = run(scenario())
    assert (job.state, job.total, rig.gateways.calls) == (JobState.FAILED, 0, [])
    assert [(each.code, each.line) for each in job.error.lines] == told
    assert (job.error.reason, job.error.line) == ("INVALID_REQUEST", told[0][1])
    assert (f"Line {told[0][1]}: " in job.error.message) is bool(told[0][1])


def test_fifty_thousand_lines_are_taken():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(50_000))
        return await rig.expand()

    assert run(scenario()).total == 50_000


def test_a_file_that_was_deleted_fails_its_batch():
    async def scenario():
        rig = Rig()
        job = await rig.batch(lines(1))
        await rig.blobs.delete_prefix("files/")
        found = await rig.expand()
        return job, found

    before, job = run(scenario())
    assert (job.state, job.error.reason) == (JobState.FAILED, "NOT_FOUND")
    assert before.batch.input_file_id in job.error.message


def test_a_file_of_somebody_else_is_no_input():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(1))
        for name, data in list(rig.blobs.stored.items()):
            rig.blobs.stored[name] = data.replace(b'"key-1"', b'"key-2"').replace(b'"ann"', b'"bob"')
        return await rig.expand()

    assert run(scenario()).error.reason == "NOT_FOUND"


@pytest.mark.parametrize("refused", [0, 3, 5])
def test_a_budget_that_ends_in_the_middle_fails_the_batch_and_nothing_is_owed(refused):
    async def scenario():
        rig = Rig()
        await rig.batch(lines(300))
        rig.gateways.fail[f"{JOB}:{refused}"] = refusal()
        job = await rig.expand()
        # What every end does, for the parts that were stored.
        await rig.gateways.release(ANN.tenant, [part.reservation for part in await rig.parts()])
        return rig, job

    rig, job = run(scenario())
    assert (job.state, job.error.reason) == (JobState.FAILED, "BUDGET_EXCEEDED")
    assert rig.gateways.held == {}
    assert rig.outgoing.sent == []


def test_a_refusal_decides_whatever_else_fails_beside_it():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(150))
        rig.gateways.fail[f"{JOB}:0"] = PlatformError(Reason.OVERLOADED, "Busy.")
        rig.gateways.fail[f"{JOB}:1"] = refusal()
        return await rig.expand()

    assert run(scenario()).error.reason == "BUDGET_EXCEEDED"


def test_a_gateway_that_is_away_leaves_the_batch_as_it_is_for_the_next_try():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(300))
        rig.gateways.fail[f"{JOB}:5"] = PlatformError(Reason.OVERLOADED, "Busy.")
        with pytest.raises(PlatformError):
            await rig.expand()
        between = (await rig.job()).state, len(await rig.parts())
        rig.gateways.fail.clear()
        rig.gateways.calls.clear()
        return between, await rig.expand(), rig

    between, job, rig = run(scenario())
    assert between == (JobState.ACCEPTING, 4)
    assert (job.state, job.total) == (JobState.REQUESTED, 300)
    assert rig.gateways.calls == [f"{JOB}:4", f"{JOB}:5"]
    assert sum(rig.gateways.held.values()) == 30_000


def test_kafka_away_leaves_the_messages_to_the_agenda():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(3))
        rig.outgoing.fail = KafkaError("No broker answers.")
        job = await rig.expand()
        return job.state, [(due.task, due.part) for due in await rig.jobs.claim(ANN.tenant, 10, 1000)]

    assert run(scenario()) == (JobState.REQUESTED, [(Task.SEND, 0)])


def test_a_batch_that_is_cancelled_while_it_is_cut_gets_no_more_parts_and_gives_back_what_was_set_aside():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(300))
        reserve = rig.gateways.reserve

        async def cancelled_meanwhile(reservation, *args, **kwargs):
            if reservation == f"{JOB}:5":
                await rig.jobs.end(ANN.tenant, JOB, JobState.CANCELLED)
            return await reserve(reservation, *args, **kwargs)

        rig.gateways.reserve = cancelled_meanwhile
        job = await rig.expand()
        return job, [part.number for part in await rig.parts()], sorted(rig.gateways.held)

    job, parts, held = run(scenario())
    assert (job.state, parts) == (JobState.CANCELLED, [0, 1, 2, 3])
    assert held == [f"{JOB}:{number}" for number in range(4)]


def test_who_finds_the_batch_ended_gives_back_what_a_crashed_one_had_set_aside():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(500))
        with pytest.raises(CrashError):
            # Four reservations and parts, then four reservations more.
            await crash_at(rig, 10, after=False).expand(ANN.tenant, JOB)
        await rig.jobs.end(ANN.tenant, JOB, JobState.CANCELLED)
        before = len(rig.gateways.held)
        await rig.expand()
        return before, sorted(rig.gateways.held)

    assert run(scenario()) == (8, [f"{JOB}:{number}" for number in range(4)])


def test_who_finds_the_file_deleted_gives_back_what_a_crashed_one_had_set_aside():
    async def scenario():
        rig = Rig()
        batch = await rig.batch(lines(500))
        with pytest.raises(CrashError):
            await crash_at(rig, 10, after=False).expand(ANN.tenant, JOB)
        before = len(rig.gateways.held)
        await rig.files.delete(viewer_of(ANN), batch.batch.input_file_id)
        job = await rig.expand()
        return before, job.state, sorted(rig.gateways.held)

    # Those of stored parts are given back when the end is told.
    assert run(scenario()) == (8, JobState.FAILED, [f"{JOB}:{number}" for number in range(4)])


def test_parts_that_the_store_has_lost_are_added_again():
    """A store that came back without its last writes, while its file is cut."""

    async def scenario():
        rig = Rig()
        await rig.batch(lines(500))
        add, adds = rig.jobs.add_parts, []

        async def lost_once(tenant, job, parts, reserved):
            adds.append([part.number for part in parts])
            return Verdict.APPLIED if adds == [[0, 1, 2, 3]] else await add(tenant, job, parts, reserved)

        rig.jobs.add_parts = lost_once
        with pytest.raises(PlatformError) as raised:
            await rig.expand()
        assert (raised.value.reason, rig.gateways.released) == (Reason.STORE_UNAVAILABLE, set())
        job = await rig.expand()
        return job, len(await rig.parts())

    job, parts = run(scenario())
    assert (job.state, job.total, parts) == (JobState.REQUESTED, 500, 10)


@pytest.mark.parametrize("job", ["unknown", "ended", "confirmed", "without a file"])
def test_a_message_that_comes_too_late_does_nothing(job):
    async def scenario():
        rig = Rig()
        if job == "without a file":
            await rig.jobs.create(NewJob(JOB, ANN, "f", expires_seconds=86_400))
        else:
            await rig.batch(lines(2))
        if job == "confirmed":
            await rig.expand()
        if job == "ended":
            await rig.jobs.end(ANN.tenant, JOB, JobState.EXPIRED)
        before = dict(rig.gateways.held), await rig.job(), list(rig.outgoing.sent)
        await rig.expander.expand(ANN.tenant, "batch_2" if job == "unknown" else JOB)
        return before == (rig.gateways.held, await rig.job(), rig.outgoing.sent)

    assert run(scenario())


async def whole(rig):
    job = await rig.job()
    return (job.state, job.total, job.reserved, await rig.parts(), rig.gateways.held)


@given(st.lists(st.tuples(st.integers(1, 20), st.booleans()), max_size=6), st.integers(1, 640))
def test_crashes_anywhere_lead_to_the_same_parts_and_the_same_money(crashes, count):
    async def scenario():
        straight, crashed = Rig(), Rig()
        for rig in (straight, crashed):
            await rig.batch(lines(count))
        for call, after in crashes:
            try:
                await crash_at(crashed, call, after=after).expand(ANN.tenant, JOB)
            except CrashError:
                continue
        for rig in (straight, crashed):
            await rig.expand()
        first, second = await whole(straight), await whole(crashed)
        return _without_file(first), _without_file(second)

    first, second = run(scenario())
    assert first == second


def _without_file(found):
    state, total, reserved, parts, held = found
    rows = [(part.number, part.first, part.count, part.slice.start, part.slice.length) for part in parts]
    return state, total, reserved, rows, held


def test_two_that_expand_the_same_batch_at_once_do_it_once():
    async def scenario():
        rig, alone = Rig(), Rig()
        for each in (rig, alone):
            await each.batch(lines(620))
            reserve = each.gateways.reserve

            async def slow(*args, reserve=reserve, each=each, **kwargs):
                await each.clock.sleep(0.001 * (len(each.gateways.calls) % 5))
                return await reserve(*args, **kwargs)

            each.gateways.reserve = slow
        await asyncio.gather(rig.expand(), rig.expand(), rig.expand())
        await alone.expand()
        return _without_file(await whole(rig)), _without_file(await whole(alone))

    first, second = run(scenario())
    assert first == second


def test_while_a_large_file_is_cut_its_message_is_not_sent_again():
    async def scenario():
        rig = Rig()
        await rig.batch(lines(2_000))
        reserve, due = rig.gateways.reserve, []

        async def slow(*args, **kwargs):
            await rig.clock.sleep(5.0)
            due.extend(each.task for each in await rig.jobs.claim(ANN.tenant, 10, 1) if each.task is Task.EXPAND)
            return await reserve(*args, **kwargs)

        rig.gateways.reserve = slow
        began = rig.clock.monotonic()
        job = await rig.expand()
        return job.state, due, rig.clock.monotonic() - began

    state, due, seconds = run(scenario())
    assert (state, due) == (JobState.REQUESTED, [])
    assert seconds > 45.0
