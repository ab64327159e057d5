"""A store's process that is killed comes back with every job as it was acknowledged."""

from __future__ import annotations

from libs.testing.valkey import ValkeyProcess
from services.jobs.domain.attempt import Verdict
from services.jobs.domain.job import JobState
from tests.contract.services.jobs.adapters.store.desk import HOOK, ValkeyDesk, answer, lost


def test_all_that_was_acknowledged_is_there_after_a_kill():
    with ValkeyProcess(appendfsync="everysec") as server:
        desk = ValkeyDesk(server)
        desk.finished("job_1", parts=2, webhook=HOOK)
        desk.announce(("job_1", desk.get("job_1").version))
        desk.dead("job_2")
        desk.told("job_2")
        desk.confirmed("job_3", steps=2)
        epoch = desk.begin("job_3").epoch
        desk.apply(epoch, answer(0), job="job_3")
        before, lists = desk.everything(), desk.lists()
        desk.close()
        server.kill()
        server.start()
        after = ValkeyDesk(server)
        after.tenant = desk.tenant
        try:
            assert after.everything() == before
            assert after.lists() == lists
            assert after.apply(epoch, lost(1), job="job_3") is Verdict.APPLIED
            assert after.get("job_3").state is JobState.FAILED
            # Places of new jobs go on behind those of before.
            after.create("job_4")
            assert after.list() == ["job_4", "job_3", "job_2", "job_1"]
        finally:
            after.close()
