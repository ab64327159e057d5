"""How a job goes on from its submission to its end, and what it owes on the way."""

from __future__ import annotations

import pytest

from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import Batch, JobError, JobState, LineError, Usage
from tests.contract.services.jobs.adapters.store.desk import (
    FILE,
    HOOK,
    HOUR,
    KEEP,
    LEASE_MS,
    answer,
    lost,
    spec,
)

MINUTE_MS = 60_000


def test_a_job_goes_from_accepting_to_succeeded_and_is_told_of_with_all_its_counts(desk):
    assert desk.create(parts=2, webhook=HOOK).state is JobState.ACCEPTING
    assert desk.confirm(reserved=100).state is JobState.REQUESTED
    desk.pass_time(1)
    first = desk.begin(part=0)
    assert (first.verdict, first.epoch, first.attempt, first.have) == (Verdict.APPLIED, 1, 1, frozenset())
    assert first.job == desk.get()
    assert first.part == spec(0)
    desk.pass_time(1)
    desk.apply(first.epoch, answer(0))
    desk.apply(desk.begin(part=1).epoch, answer(1), part=1)
    job = desk.get()
    assert (job.state, job.total, job.parts, job.succeeded, job.failed) == (JobState.SUCCEEDED, 2, 2, 2, 0)
    assert (job.attempts, job.reserved, job.usage) == (2, 100, Usage(20, 8, 10, 14))
    started, ended = desk.now_ms() - 1000, desk.now_ms()
    assert (job.created_ms, job.started_ms, job.ended_ms) == (started - 1000, started, ended)
    assert (job.metadata, job.fingerprint, job.webhook) == ({"team": "blue"}, "print-1", HOOK)
    assert desk.results() == [answer(0), answer(1)]


def test_one_answer_that_is_an_error_makes_the_job_failed(desk):
    job = desk.finished(parts=1, status=400)
    assert (job.state, job.succeeded, job.failed) == (JobState.FAILED, 0, 1)


def test_a_repeated_creation_finds_the_job_as_it_is_whatever_it_asks_for(desk):
    desk.confirmed()
    before = desk.everything()
    assert desk.create(parts=3, key="other") == desk.get()
    assert desk.everything() == before


def test_a_repeated_confirmation_adds_nothing(desk):
    desk.confirmed()
    before = desk.everything()
    assert desk.confirm(reserved=100) == desk.get()
    assert desk.everything() == before


def test_every_version_is_higher_than_the_one_before(desk):
    versions = [desk.create().version, desk.confirm().version, desk.begin().job.version]
    desk.renew(1, tokens=5)
    versions.append(desk.get().version)
    desk.apply(1, answer(0))
    versions.append(desk.get().version)
    desk.told()
    versions.append(desk.get().version)
    assert versions == sorted(set(versions))


def test_who_accepts_and_dies_owes_a_refusal_after_a_minute(desk):
    desk.create()
    assert desk.agenda() == {(Task.REFUSE, "job_1", 0): MINUTE_MS}
    desk.pass_time(60)
    assert desk.claim() == [(Task.REFUSE, "job_1", 0)]


def test_a_confirmed_job_owes_a_message_for_each_part_at_once_and_its_expiry(desk):
    desk.pass_time(5)
    desk.create(parts=2)
    desk.pass_time(1)
    desk.confirm()
    sends = {(Task.SEND, "job_1", 0): 0, (Task.SEND, "job_1", 1): 0}
    assert desk.agenda() == {**sends, (Task.EXPIRE, "job_1", 0): (HOUR - 1) * 1000}


def test_a_job_with_a_file_owes_its_expansion_until_it_is_confirmed_and_expires_meanwhile(desk):
    desk.create(parts=0, batch=FILE)
    assert desk.agenda() == {(Task.EXPAND, "job_1", 0): 0, (Task.EXPIRE, "job_1", 0): HOUR * 1000}
    assert desk.add_parts(spec(0, steps=2), reserved=5) is Verdict.APPLIED
    assert desk.add_parts(spec(0, steps=2), spec(1, steps=2), reserved=6) is Verdict.APPLIED
    assert desk.add_parts(spec(1, steps=2), reserved=6) is Verdict.REPEATED
    assert (desk.get().total, desk.get().parts, desk.get().reserved) == (4, 2, 11)
    assert desk.parts() == [spec(0, steps=2), spec(1, steps=2)]
    assert desk.tasks() == {Task.EXPAND, Task.EXPIRE}
    desk.confirm(reserved=0)
    assert desk.tasks() == {Task.SEND, Task.EXPIRE}


def test_a_confirmation_leaves_the_expiry_of_a_file_where_it_was_put_off_to(desk):
    desk.create(parts=0, batch=FILE)
    desk.add_parts(spec(0))
    desk.pass_time(HOUR)
    assert (Task.EXPIRE, "job_1", 0) in desk.claim(lease_ms=9_000)
    desk.confirm()
    assert desk.agenda()[Task.EXPIRE, "job_1", 0] == 9_000


def test_parts_are_added_in_order_and_to_jobs_that_are_not_complete(desk):
    assert desk.add_parts(spec(0)) is Verdict.UNKNOWN
    desk.create(parts=0, batch=FILE)
    before = desk.everything()
    assert desk.add_parts(spec(0), spec(2)) is Verdict.UNKNOWN
    assert desk.everything() == before
    desk.add_parts(spec(0))
    desk.confirm()
    assert desk.add_parts(spec(1)) is Verdict.REPEATED
    assert desk.parts() == [spec(0)]
    desk.end()
    assert desk.add_parts(spec(1)) is Verdict.ENDED


def test_a_file_without_requests_has_succeeded_when_it_is_confirmed(desk):
    desk.create(parts=0, batch=FILE)
    assert desk.confirm(reserved=0).state is JobState.SUCCEEDED
    assert desk.tasks() == {Task.TELL}


def test_a_refused_job_fails_with_its_reason_and_is_told(desk):
    desk.create()
    error = JobError("BUDGET_EXCEEDED", "no room", 3, (LineError("duplicate", "twice", 3, "custom_id"),))
    refused = desk.refuse(error)
    assert (refused.state, refused.error) == (JobState.FAILED, error)
    assert desk.agenda() == {(Task.TELL, "job_1", 0): 0}
    assert desk.confirm() == refused


def test_a_job_that_is_refused_without_a_reason_never_was(desk):
    desk.create()
    assert desk.refuse() is None
    assert desk.everything() == ({}, {})
    assert desk.list() == []
    assert desk.refuse() is None


def test_a_confirmed_job_is_not_refused(desk):
    desk.confirmed()
    before = desk.everything()
    assert desk.refuse().state is JobState.REQUESTED
    assert desk.refuse(JobError("x", "y")).state is JobState.REQUESTED
    assert desk.everything() == before


@pytest.mark.parametrize("state", [JobState.CANCELLED, JobState.EXPIRED])
def test_a_job_that_is_ended_owes_only_to_be_told_of_and_keeps_what_it_has(desk, state):
    desk.confirmed(parts=2)
    desk.apply(desk.begin().epoch, answer(0))
    desk.renew(desk.begin(part=1).epoch, part=1, tokens=9)
    assert desk.get().running_tokens == 9
    job = desk.end(state)
    assert (job.state, job.succeeded, job.running_tokens, job.ended_ms) == (state, 1, 0, desk.now_ms())
    assert job.cancelled_ms == (desk.now_ms() if state is JobState.CANCELLED else 0)
    assert desk.agenda() == {(Task.TELL, "job_1", 0): 0}
    before = desk.everything()
    assert desk.end(JobState.CANCELLED) == job
    assert desk.everything() == before
    assert desk.results() == [answer(0)]


def test_a_job_can_be_ended_before_it_was_confirmed_and_is_not_confirmed_then(desk):
    desk.create()
    assert desk.end().state is JobState.CANCELLED
    assert desk.confirm().state is JobState.CANCELLED
    assert desk.agenda() == {(Task.TELL, "job_1", 0): 0}


def test_what_is_unknown_is_unknown_to_all(desk):
    assert [desk.get(), desk.confirm(), desk.refuse(), desk.end()] == [None] * 4
    assert [desk.renew(1), desk.apply(1), desk.put_back(1), desk.told(version=1)] == [Verdict.UNKNOWN] * 4
    assert desk.begin().verdict is Verdict.UNKNOWN
    assert desk.announce(("job_1", 1)) == [Verdict.UNKNOWN]
    assert (desk.requests(), desk.results(), desk.parts(), desk.claim()) == ([], [], [], [])
    for task in Task:
        desk.later(task, 5)
        desk.done(task)
    desk.hooked(200, "delivered")
    assert desk.everything() == ({}, {})


def test_told_plans_to_forget_and_lets_the_requests_go(desk):
    job = desk.finished()
    assert len(desk.requests()) == 1
    assert desk.told(version=job.version) is Verdict.APPLIED
    assert desk.get().told
    assert desk.agenda() == {(Task.FORGET, "job_1", 0): KEEP * 1000}
    assert desk.requests() == []
    assert desk.told(version=job.version) is Verdict.REPEATED
    assert desk.told() is Verdict.REPEATED


def test_what_has_not_ended_is_not_told(desk):
    desk.confirmed()
    assert desk.told(version=99) is Verdict.STALE


def test_a_batch_that_is_told_has_its_files(desk):
    desk.create(parts=1, batch=FILE)
    desk.confirm()
    desk.apply(desk.begin().epoch, answer(0))
    desk.told(batch=Batch("", "", "file-out", "file-err"))
    assert desk.get().batch == Batch("file-1", "/v1/chat/completions", "file-out", "file-err", desk.now_ms())


def test_a_job_is_forgotten_with_all_that_was_kept_of_it(desk):
    desk.finished(webhook=HOOK)
    desk.announce(("job_1", desk.get().version))
    desk.told()
    desk.pass_time(KEEP)
    assert (Task.FORGET, "job_1", 0) in desk.claim()
    desk.done(Task.FORGET)
    assert desk.everything() == ({}, {})
    assert desk.list(key_id="k1", user="ada") == []


def test_a_job_that_was_reopened_is_not_forgotten_by_who_claimed_it_before(desk):
    desk.dead()
    desk.told()
    desk.pass_time(KEEP)
    assert desk.claim() == [(Task.FORGET, "job_1", 0)]
    assert desk.begin(replayed=True).verdict is Verdict.APPLIED
    desk.done(Task.FORGET)
    assert desk.get().state is JobState.RUNNING


def test_done_takes_nothing_off_that_a_job_still_owes(desk):
    desk.confirmed()
    for task in Task:
        desk.done(task)
    assert desk.tasks() == {Task.SEND, Task.EXPIRE}


def test_claiming_puts_off_so_that_others_do_not_do_it_too(desk):
    desk.confirmed(parts=2)
    assert desk.claim(limit=1) == [(Task.SEND, "job_1", 0)]
    assert desk.claim() == [(Task.SEND, "job_1", 1)]
    assert desk.claim() == []
    desk.pass_time(9.999)
    assert desk.claim() == []
    desk.pass_time(0.001)
    assert desk.claim() == [(Task.SEND, "job_1", 0), (Task.SEND, "job_1", 1)]


def test_the_oldest_is_claimed_first(desk):
    desk.confirmed("job_b")
    desk.pass_time(1)
    desk.confirmed("job_a")
    assert [job for _, job, _ in desk.claim()] == ["job_b", "job_a"]


def test_later_puts_off_what_is_planned_and_adds_nothing(desk):
    desk.confirmed()
    desk.later(Task.SEND, 5_000)
    desk.later(Task.TELL, 5_000)
    desk.later(Task.SEND, 5_000, part=1)
    assert desk.agenda() == {(Task.SEND, "job_1", 0): 5_000, (Task.EXPIRE, "job_1", 0): HOUR * 1000}
    desk.apply(desk.begin().epoch, answer(0))
    desk.later(Task.SEND, 0)
    assert desk.tasks() == {Task.TELL}


def test_an_attempt_puts_its_message_off_by_its_lease_and_a_renewal_again(desk):
    desk.confirmed()
    epoch = desk.begin().epoch
    assert desk.agenda()[Task.SEND, "job_1", 0] == LEASE_MS
    desk.pass_time(20)
    assert desk.renew(epoch, lease_ms=40_000) is Verdict.APPLIED
    assert desk.agenda()[Task.SEND, "job_1", 0] == 40_000


def test_a_part_that_is_put_back_waits_for_an_hour_and_its_attempt_does_not_count_against_it(desk):
    desk.confirmed()
    epoch = desk.begin().epoch
    assert desk.put_back(epoch) is Verdict.APPLIED
    assert desk.put_back(epoch) is Verdict.REPEATED
    assert desk.agenda()[Task.SEND, "job_1", 0] == HOUR * 1000
    again = desk.begin()
    assert (again.verdict, again.epoch, again.attempt) == (Verdict.APPLIED, 2, 1)
    assert again.job.attempts == 2


def test_a_dead_part_ends_the_job_with_results_for_what_it_lacks(desk):
    desk.confirmed(parts=1, steps=3)
    epoch = desk.begin().epoch
    desk.apply(epoch, answer(1))
    assert desk.put_back(epoch, lost(0), lost(1), lost(2), dead=True) is Verdict.APPLIED
    assert desk.put_back(epoch, lost(0), dead=True) is Verdict.REPEATED
    assert desk.results() == [lost(0), answer(1), lost(2)]
    job = desk.get()
    assert (job.state, job.succeeded, job.failed) == (JobState.FAILED, 1, 2)
    assert desk.tasks() == {Task.TELL}


def test_a_job_goes_on_beside_a_dead_part_and_has_failed_at_its_end(desk):
    desk.confirmed(parts=2)
    desk.put_back(desk.begin().epoch, lost(0), dead=True)
    assert desk.get().state is JobState.RUNNING
    assert desk.tasks() == {Task.SEND, Task.EXPIRE}
    desk.apply(desk.begin(part=1).epoch, answer(1), part=1)
    assert desk.get().state is JobState.FAILED


def test_a_part_that_is_given_up_without_results_ends_its_job_too(desk):
    desk.confirmed()
    desk.put_back(desk.begin().epoch, dead=True)
    job = desk.get()
    assert (job.state, job.total, job.succeeded, job.failed) == (JobState.FAILED, 1, 0, 0)


def test_a_job_is_not_confirmed_once_its_refusal_is_due(desk):
    desk.create("job_1")
    desk.create("job_2")
    desk.create("batch_1", parts=0, batch=FILE)
    desk.pass_time(59.999)
    assert desk.confirm("job_1").state is JobState.REQUESTED
    desk.pass_time(0.001)
    before = desk.everything()
    assert desk.confirm("job_2").state is JobState.ACCEPTING
    assert desk.everything() == before
    assert desk.claim(1) == [(Task.EXPAND, "batch_1", 0)]
    assert (Task.REFUSE, "job_2", 0) in desk.claim()
    assert desk.confirm("batch_1").state is JobState.SUCCEEDED
