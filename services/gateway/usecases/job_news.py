"""Follows a job through the lives of whatever replica tells of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from headrace.jobs.v1 import jobs_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Principal
from services.gateway.ports.jobs import JobService

# One subscription; the next one goes on where it stopped.
SUBSCRIPTION_SECONDS = 3600.0
PAUSE_SECONDS = 0.5
# For how long the service may be away before its watchers are told.
PATIENCE_SECONDS = 30.0
_AWAY = frozenset({Reason.JOBS_UNAVAILABLE, Reason.STORE_UNAVAILABLE, Reason.OVERLOADED})


async def job_news(
    jobs: JobService, principal: Principal, job: str, clock: Clock
) -> AsyncGenerator[pb.Job | None, None]:
    """The job at once, after changes and from time to time, until the service has no more to tell of it.

    None is a sign of life without news. Raises PlatformError: at once what the first try raises, later only when the
    service was away for too long.
    """
    heard = away_since = None
    while True:
        stream = jobs.stream("WatchJob", pb.WatchJobRequest(id=job), principal, timeout=SUBSCRIPTION_SECONDS)
        try:
            async with aclosing(stream) as responses:
                async for response in responses:
                    heard, away_since = True, None
                    yield response.job
        except PlatformError as problem:
            if problem.reason is Reason.DEADLINE_EXCEEDED:
                continue
            now = clock.monotonic()
            away_since = away_since or now
            if heard is None or problem.reason not in _AWAY or now - away_since > PATIENCE_SECONDS:
                raise
            yield None
            await clock.sleep(PAUSE_SECONDS)
        else:
            return
