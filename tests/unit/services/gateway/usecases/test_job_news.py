"""Following a job through the lives of what tells of it."""

import pytest
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.testing.clock import FakeClock
from libs.testing.loop import run
from services.gateway.domain.turns import Principal
from services.gateway.usecases.job_news import job_news

ANN = Principal("acme", "key-1")
AWAY = Reason.JOBS_UNAVAILABLE


class Scripted:
    """A stream per subscription: versions to tell of, and how it ends; the last one for ever."""

    def __init__(self, *streams):
        self._streams, self.opened = streams, 0

    async def stream(self, name, request, principal, *, timeout):
        assert (name, request.id, principal) == ("WatchJob", "job_1", ANN)
        versions, end = self._streams[min(self.opened, len(self._streams) - 1)]
        self.opened += 1
        for version in versions:
            yield pb.WatchJobResponse(job=pb.Job(version=version))
        if end is not None:
            raise PlatformError(end, "x")


def heard(*streams):
    """Versions, None for signs of life, and the reason of the end."""

    async def main():
        found = []
        try:
            async for job in job_news(Scripted(*streams), ANN, "job_1", FakeClock()):
                found.append(job and job.version)  # noqa: PERF401 - what came before an error counts
        except PlatformError as problem:
            found.append(problem.reason)
        return found

    return run(main())


def test_it_ends_with_the_service():
    assert heard(([1, 2], None)) == [1, 2]


def test_a_subscription_whose_time_is_over_goes_on():
    assert heard(([1], Reason.DEADLINE_EXCEEDED), ([1, 2], None)) == [1, 1, 2]


@pytest.mark.parametrize("reason", [AWAY, Reason.STORE_UNAVAILABLE, Reason.OVERLOADED])
def test_a_service_that_is_away_is_waited_for(reason):
    assert heard(([1], reason), ([], reason), ([2], None)) == [1, None, None, 2]


def test_for_half_a_minute():
    found = heard(([1], AWAY), ([], AWAY))
    assert (found[0], found[-1], set(found[1:-1])) == (1, AWAY, {None})
    assert 55 < len(found) < 66


def test_every_word_begins_the_wait_anew():
    found = heard(([1], AWAY), *[([], AWAY)] * 40, ([2], AWAY), *[([], AWAY)] * 40, ([3], None))
    assert [each for each in found if each is not None] == [1, 2, 3]


def test_what_fails_at_first_is_told_at_once():
    assert heard(([], AWAY)) == [AWAY]


def test_a_refusal_is_not_waited_for():
    assert heard(([1], Reason.NOT_FOUND)) == [1, Reason.NOT_FOUND]
