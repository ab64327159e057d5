"""What follows an end: the webhook, once per end."""

from __future__ import annotations

from services.jobs.domain.agenda import Task
from services.jobs.domain.attempt import Verdict
from tests.contract.services.jobs.adapters.store.desk import HOOK, lost


def test_an_end_is_announced_once_and_plans_its_webhook(desk):
    version = desk.finished(webhook=HOOK).version
    assert desk.announce(("job_1", version), ("job_1", version)) == [Verdict.APPLIED, Verdict.REPEATED]
    assert desk.agenda()[Task.HOOK, "job_1", 0] == 0
    assert desk.announce(("job_1", version)) == [Verdict.REPEATED]


def test_a_job_without_a_webhook_is_announced_and_owes_none(desk):
    version = desk.finished().version
    assert desk.announce(("job_1", version)) == [Verdict.APPLIED]
    assert desk.announce(("job_1", version)) == [Verdict.REPEATED]
    assert desk.tasks() == {Task.TELL}


def test_it_matters_not_whether_an_end_is_told_or_announced_first(desk):
    version = desk.finished(webhook=HOOK).version
    desk.announce(("job_1", version))
    desk.hooked(500, "pending")
    assert desk.told(version=version) is Verdict.APPLIED
    assert desk.announce(("job_1", version)) == [Verdict.REPEATED]
    assert desk.tasks() == {Task.HOOK, Task.FORGET}


def test_a_job_that_runs_is_not_announced(desk):
    version = desk.confirmed(webhook=HOOK).version
    assert desk.announce(("job_1", version), ("job_1", version + 9)) == [Verdict.STALE, Verdict.STALE]


def test_a_webhook_is_owed_until_it_is_delivered(desk):
    desk.announce(("job_1", desk.finished(webhook=HOOK).version))
    desk.hooked(503, "pending")
    assert (desk.get().webhook.attempts, desk.get().webhook.status) == (1, 503)
    assert Task.HOOK in desk.tasks()
    desk.hooked(200, "delivered")
    hook = desk.get().webhook
    assert (hook.state, hook.attempts, hook.status, hook.url) == ("delivered", 2, 200, HOOK.url)
    assert Task.HOOK not in desk.tasks()
    before = desk.everything()
    desk.hooked(500, "failed")
    assert desk.everything() == before


def test_a_call_for_an_end_that_was_taken_back_says_nothing_of_the_end_after_it(desk):
    first = desk.dead(webhook=HOOK).version
    desk.announce(("job_1", first))
    desk.put_back(desk.begin(replayed=True).epoch, lost(0), dead=True)
    desk.announce(("job_1", desk.get().version))
    before = desk.everything()
    desk.hooked(200, "delivered", version=first)
    assert desk.everything() == before
    desk.hooked(200, "delivered", version=desk.get().version)
    assert Task.HOOK not in desk.tasks()


def test_a_webhook_that_is_given_up_is_not_owed(desk):
    desk.announce(("job_1", desk.finished(webhook=HOOK).version))
    desk.hooked(0, "failed")
    assert desk.tasks() == {Task.TELL}
    assert desk.get().webhook.state == "failed"
