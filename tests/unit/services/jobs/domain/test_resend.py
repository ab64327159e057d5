from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.jobs.domain.resend import FULL_SECONDS_MAX, Backlog, Look, look, next_look_seconds

IDLE = Backlog()


def test_a_fresh_job_is_left_to_who_accepted_it():
    assert look(1.9, IDLE, 60.0) is Look.FRESH


def test_what_was_never_sent_is_sent_whatever_the_backlog():
    assert look(2.0, Backlog(9999.0, full=True), 60.0) is Look.LOST


def test_what_waited_no_longer_than_others_is_queued():
    assert look(500.0, Backlog(300.0), 60.0) is Look.QUEUED
    assert look(700.0, Backlog(300.0), 60.0) is Look.LOST


def test_a_full_consumer_sends_no_repeats_for_an_hour():
    assert look(61.0, Backlog(0.0, full=True), 60.0) is Look.QUEUED
    assert look(FULL_SECONDS_MAX, Backlog(0.0, full=True), 60.0) is Look.LOST


@given(st.floats(1.0, 3600.0), st.floats(3600.0, 7 * 86_400.0))
def test_looks_become_rarer_with_age(resend, queued):
    age, looks = 0.0, 0
    while age < queued:
        age += next_look_seconds(age, resend)
        looks += 1
    assert looks < 60
    assert next_look_seconds(0.0, resend) == resend
