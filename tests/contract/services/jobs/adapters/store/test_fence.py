"""A step has one result for ever, and nobody but the latest attempt changes a part."""

from __future__ import annotations

import pytest

from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import BeginAsk, Effect, PartKey, Verdict
from services.jobs.domain.job import Batch, JobState, Usage
from tests.contract.services.jobs.adapters.store.desk import FILE, HOOK, HOUR, LEASE_MS, answer, lost


def test_an_attempt_fences_off_all_earlier_ones(desk):
    desk.confirmed()
    old, new = desk.begin(owner="zombie").epoch, desk.begin(owner="heir").epoch
    before = desk.everything()
    assert new > old
    assert desk.apply(old, answer(0)) is Verdict.STALE
    assert desk.renew(old) is Verdict.STALE
    assert desk.put_back(old) is Verdict.STALE
    assert desk.put_back(old, lost(0), dead=True) is Verdict.STALE
    assert desk.everything() == before
    assert desk.apply(new, answer(0)) is Verdict.APPLIED


def test_an_epoch_that_was_never_given_changes_nothing(desk):
    desk.confirmed()
    desk.begin()
    assert [desk.apply(0, answer(0)), desk.apply(2, answer(0)), desk.renew(2)] == [Verdict.STALE] * 3


def test_a_zombie_hears_that_it_is_one_after_the_heir_has_ended_the_job(desk):
    desk.confirmed()
    old, new = desk.begin().epoch, desk.begin().epoch
    desk.apply(new, answer(0))
    assert desk.apply(old, answer(0, cost=999)) is Verdict.STALE
    assert desk.get().usage.cost == 7


def test_a_result_is_counted_once_however_often_it_comes(desk):
    desk.confirmed(steps=2)
    epoch = desk.begin().epoch
    assert desk.apply(epoch, answer(0)) is Verdict.APPLIED
    once = desk.get()
    assert desk.apply(epoch, answer(0, cost=999)) is Verdict.REPEATED
    assert desk.get() == once
    assert desk.apply(epoch, answer(0, cost=999), answer(1), answer(1, cost=999)) is Verdict.APPLIED
    assert desk.get().usage == Usage(20, 8, 10, 14)
    assert desk.results() == [answer(0), answer(1)]
    assert desk.apply(epoch, answer(0), answer(1)) is Verdict.REPEATED


def test_a_later_attempt_is_told_what_is_there_and_does_the_rest(desk):
    desk.confirmed(parts=2, steps=3)
    desk.apply(desk.begin(part=1).epoch, answer(4), part=1)
    again = desk.begin(part=1)
    assert again.have == frozenset({4})
    desk.apply(again.epoch, answer(3), answer(5), part=1)
    assert desk.begin(part=1).verdict is Verdict.REPEATED
    assert [result.step for result in desk.results()] == [3, 4, 5]


def test_a_result_of_a_step_of_another_part_is_nobodys(desk):
    desk.confirmed(parts=2)
    assert desk.apply(desk.begin().epoch, answer(1)) is Verdict.REPEATED
    assert desk.results() == []


def test_nothing_is_done_for_a_job_that_is_not_confirmed(desk):
    desk.create()
    assert desk.begin().verdict is Verdict.UNKNOWN


def test_attempts_hear_that_a_job_was_cancelled_and_change_nothing(desk):
    desk.confirmed()
    epoch = desk.begin().epoch
    desk.end()
    before = desk.everything()
    assert [desk.renew(epoch), desk.apply(epoch, answer(0)), desk.put_back(epoch)] == [Verdict.ENDED] * 3
    assert desk.begin().verdict is Verdict.ENDED
    assert desk.begin(replayed=True).verdict is Verdict.ENDED
    assert desk.everything() == before


def test_an_attempt_that_gave_its_part_back_is_over(desk):
    desk.confirmed(steps=2)
    epoch = desk.begin().epoch
    desk.put_back(epoch)
    assert [desk.renew(epoch), desk.apply(epoch, answer(0))] == [Verdict.STALE] * 2
    assert desk.put_back(epoch, lost(0), dead=True) is Verdict.STALE


def test_a_part_that_is_begun_too_often_is_poison_and_can_be_given_up(desk):
    desk.confirmed()
    epochs = [desk.begin(attempts_max=2).epoch for _ in range(2)]
    poison = desk.begin(attempts_max=2)
    assert (poison.verdict, poison.epoch, poison.attempt) == (Verdict.POISON, 3, 2)
    assert (poison.job.attempts, poison.part.count, poison.have) == (2, 1, frozenset())
    assert desk.apply(epochs[-1], answer(0)) is Verdict.STALE
    assert desk.agenda()[Task.SEND, "job_1", 0] == LEASE_MS
    assert desk.put_back(poison.epoch, lost(0), dead=True) is Verdict.APPLIED


def test_an_attempt_that_is_begun_again_because_its_reply_was_lost_counts_once(desk):
    desk.confirmed()
    epochs = [desk.begin(owner="me:1", attempts_max=2).epoch for _ in range(5)]
    assert epochs == [1, 2, 3, 4, 5]
    assert (desk.get().attempts, desk.begin(owner="heir", attempts_max=2).attempt) == (1, 2)
    assert desk.begin(owner="heir", attempts_max=2).verdict is Verdict.APPLIED
    assert desk.begin(owner="third", attempts_max=2).verdict is Verdict.POISON


def test_a_dead_part_stays_poison_so_that_its_letter_is_written_again_after_a_crash(desk):
    desk.confirmed()
    epoch = desk.begin().epoch
    desk.put_back(epoch, lost(0), dead=True)
    before = desk.everything()
    poison = desk.begin()
    assert (poison.verdict, poison.epoch, poison.job.state) == (Verdict.POISON, epoch, JobState.FAILED)
    assert desk.put_back(poison.epoch, lost(0), dead=True) is Verdict.REPEATED
    assert desk.everything() == before


def test_a_replayed_dead_letter_reopens_its_part_and_loses_what_was_made_up(desk):
    desk.confirmed(parts=1, steps=2, webhook=HOOK)
    epoch = desk.begin(attempts_max=1).epoch
    desk.apply(epoch, answer(0))
    desk.put_back(epoch, lost(1), dead=True)
    ended = desk.get()
    desk.announce(("job_1", ended.version))
    desk.hooked(200, "delivered")
    desk.told()
    again = desk.begin(attempts_max=1, replayed=True)
    assert (again.verdict, again.epoch, again.attempt) == (Verdict.APPLIED, 2, 1)
    assert again.have == frozenset({0})
    job = desk.get()
    assert (job.state, job.told, job.ended_ms, job.webhook) == (JobState.RUNNING, False, 0, HOOK)
    assert (ended.reopened, again.job.reopened, job.reopened) == (False, True, True)
    assert (job.succeeded, job.failed, job.attempts) == (1, 0, 2)
    assert job.version > ended.version
    assert desk.tasks() == {Task.SEND, Task.EXPIRE}
    assert len(desk.requests()) == 2
    desk.apply(again.epoch, answer(1))
    assert desk.get().state is JobState.SUCCEEDED
    assert desk.results() == [answer(0), answer(1)]
    assert desk.announce(("job_1", ended.version), ("job_1", desk.get().version)) == [Verdict.STALE, Verdict.APPLIED]


def test_a_batch_that_is_reopened_has_no_files_until_it_is_told_again(desk):
    desk.dead(batch=FILE)
    desk.told(batch=Batch("", "", "file-out", "file-err"))
    assert desk.begin().job == desk.get()
    assert desk.get().batch.output_file_id == "file-out"
    assert desk.begin(replayed=True).job == desk.get()
    assert desk.get().batch == FILE


def test_a_part_is_reopened_while_its_job_runs(desk):
    desk.confirmed(parts=2)
    desk.begin(part=1)
    desk.put_back(desk.begin().epoch, lost(0), dead=True)
    assert desk.begin(replayed=True).verdict is Verdict.APPLIED
    assert (desk.get().failed, desk.get().state) == (0, JobState.RUNNING)
    assert set(desk.agenda()) == {(Task.SEND, "job_1", 0), (Task.SEND, "job_1", 1), (Task.EXPIRE, "job_1", 0)}


def test_a_replayed_letter_of_a_part_that_is_not_dead_counts_on(desk):
    desk.confirmed()
    desk.begin()
    again = desk.begin(replayed=True)
    assert (again.verdict, again.attempt) == (Verdict.APPLIED, 2)


@pytest.mark.parametrize(("waits", "left"), [(HOUR - 60, 60), (HOUR, HOUR), (2 * HOUR, HOUR)])
def test_a_job_that_is_reopened_has_the_time_it_had_left_or_all_of_it_again(desk, waits, left):
    desk.dead()
    desk.pass_time(waits)
    desk.begin(replayed=True)
    assert desk.agenda()[Task.EXPIRE, "job_1", 0] == left * 1000
    assert desk.get().expires_ms == desk.now_ms() + left * 1000


def test_a_job_that_expired_is_not_reopened(desk):
    desk.confirmed(parts=2)
    desk.put_back(desk.begin().epoch, lost(0), dead=True)
    desk.end(JobState.EXPIRED)
    assert desk.begin(replayed=True).verdict is Verdict.ENDED


def test_tokens_of_running_answers_are_summed_and_go_with_their_attempts(desk):
    desk.confirmed(parts=2)
    one, two = desk.begin(part=0).epoch, desk.begin(part=1).epoch
    desk.renew(one, tokens=10)
    desk.renew(two, part=1, tokens=5)
    assert desk.get().running_tokens == 15
    version = desk.get().version
    desk.renew(one, tokens=10)
    assert desk.get().version == version
    desk.begin(part=0)
    assert desk.get().running_tokens == 5
    desk.apply(two, answer(1), part=1)
    assert desk.get().running_tokens == 0


def test_a_batch_of_asks_is_as_many_asks_one_after_the_other(desk):
    desk.confirmed("job_1", parts=2)
    desk.confirmed("job_2")
    asks = [("job_1", 0), ("job_1", 0), ("job_3", 0), ("job_2", 0), ("job_1", 1), ("job_1", 7)]
    begun = desk.do(
        desk.store.begin(desk.tenant, [BeginAsk(PartKey(*key), f"me:{at}", LEASE_MS, 1) for at, key in enumerate(asks)])
    )
    applied, poison, unknown = Verdict.APPLIED, Verdict.POISON, Verdict.UNKNOWN
    assert [each.verdict for each in begun] == [applied, poison, unknown, applied, applied, unknown]
    effects = [
        Effect(PartKey("job_1", 0), 1, (answer(0),)),
        Effect(PartKey("job_1", 0), 2, (answer(0),)),
        Effect(PartKey("job_1", 0), 2, (answer(0),)),
        Effect(PartKey("job_2", 0), 1, (answer(0, 500),)),
        Effect(PartKey("job_1", 1), 1, (answer(1),)),
    ]
    verdicts = desk.do(desk.store.apply(desk.tenant, effects))
    assert verdicts == [Verdict.STALE, applied, Verdict.REPEATED, applied, applied]
    assert (desk.get("job_1").state, desk.get("job_2").state) == (JobState.SUCCEEDED, JobState.FAILED)
    assert [task for task, _, _ in desk.claim()] == [Task.TELL, Task.TELL]


def test_no_asks_are_no_trouble(desk):
    assert list(desk.do(desk.store.begin(desk.tenant, []))) == []
    assert list(desk.do(desk.store.apply(desk.tenant, []))) == []
    assert list(desk.announce()) == []
