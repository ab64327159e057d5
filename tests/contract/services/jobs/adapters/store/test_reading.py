"""Lists by page, and what is there of requests and results."""

from __future__ import annotations

from services.jobs.domain.job import Request
from tests.contract.services.jobs.adapters.store.desk import FILE, answer


def test_jobs_are_listed_newest_first_by_pages(desk):
    names = [desk.create(f"job_{number}").id for number in range(7)]
    newest = names[::-1]
    assert desk.list() == newest
    assert desk.list(limit=3) == newest[:3]
    assert desk.list(limit=3, after=newest[2]) == newest[3:6]
    assert desk.list(limit=3, after=newest[5]) == newest[6:]
    assert desk.list(after=newest[6]) == []


def test_batches_are_listed_apart_from_jobs(desk):
    desk.create("job_1")
    desk.create("batch_1", batch=FILE)
    desk.create("batch_2", parts=0, batch=FILE)
    assert desk.list() == ["job_1"]
    assert desk.list(batches=True) == ["batch_2", "batch_1"]
    assert desk.list(batches=True, after="job_1") == []
    assert desk.list(after="job_9") == []


def test_a_caller_sees_jobs_of_its_key_or_of_its_user(desk):
    desk.create("job_1", key="k1", user="ada")
    desk.create("job_2", key="k2", user="ada")
    desk.create("job_3", key="k3", user="bob")
    desk.create("job_4", key="k1", user="")
    desk.create("job_5", key="k3", user="")
    assert desk.list(key_id="k1", user="ada") == ["job_4", "job_2", "job_1"]
    assert desk.list(key_id="k1", user="ada", limit=2) == ["job_4", "job_2"]
    assert desk.list(key_id="k1", user="ada", after="job_4", limit=1) == ["job_2"]
    assert desk.list(key_id="k1") == ["job_4", "job_1"]
    assert desk.list(key_id="k9") == []
    assert desk.list() == ["job_5", "job_4", "job_3", "job_2", "job_1"]


def test_tenants_see_nothing_of_each_other(desk):
    desk.create()
    other = desk.tenant + "x"
    assert desk.do(desk.store.get(other, "job_1")) is None
    assert list(desk.do(desk.store.list(other, batches=False, after="", limit=9))) == []
    assert list(desk.do(desk.store.claim(other, 9, 1))) == []
    assert desk.tenant in desk.do(desk.store.tenants())


def test_requests_are_those_of_the_part_in_order(desk):
    desk.create(parts=2, steps=2)
    assert desk.requests(part=1) == [Request(2, "c2", b"\xffwork", "small"), Request(3, "c3", b"\xffwork", "small")]
    assert desk.requests(part=2) == []


def test_results_are_read_by_pages_over_gaps(desk):
    desk.confirmed(parts=1, steps=8)
    desk.apply(desk.begin().epoch, *(answer(step) for step in (1, 2, 5, 7)))
    assert desk.results() == [answer(step) for step in (1, 2, 5, 7)]
    assert desk.results(limit=3) == [answer(1), answer(2), answer(5)]
    assert desk.results(first=2, limit=2) == [answer(2), answer(5)]
    assert desk.results(first=8) == []


def test_a_part_of_thousands_of_steps_is_no_trouble(desk):
    desk.confirmed(parts=1, steps=2500)
    epoch = desk.begin().epoch
    desk.apply(epoch, *(answer(step, body=b"") for step in range(2499)))
    assert len(desk.begin().have) == 2499
    assert len(desk.requests()) == 2500
    desk.apply(epoch + 1, answer(2499))
    assert desk.get().succeeded == 2500
    desk.told()
    assert desk.requests() == []
    assert len(desk.results(limit=10_000)) == 2500


def test_a_job_of_thousands_of_parts_is_no_trouble(desk):
    desk.confirmed(parts=2500)
    assert len(desk.claim(limit=10_000)) == 2500
    assert len(desk.parts()) == 2500
    desk.end()
    assert len(desk.agenda()) == 1
