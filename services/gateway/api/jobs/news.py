"""`GET /v1/jobs/{id}/events`: news of a job as server-sent events (HTML Living Standard, 9.2)."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from headrace.jobs.v1 import jobs_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from services.gateway.api.gone import UntilGone, stopping
from services.gateway.api.jobs.asked import Asked
from services.gateway.api.jobs.routes import Route
from services.gateway.ports.jobs import JobService
from services.gateway.usecases.job_news import job_news
from services.gateway.wire.job_documents import job_event, over
from services.gateway.wire.openai_errors import error_body

_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx and its like would hold events back.
    (b"x-accel-buffering", b"no"),
]
# When a client that lost its stream may come back, in milliseconds.
_RETRY = b"retry: 1000\n\n"
_PING = b": ping\n\n"
_VERSION_DIGITS_MAX = 19


class NewsDesk:
    """Streams of news; `streams_max` at once."""

    def __init__(self, jobs: JobService, clock: Clock, streams_max: int = 2_000) -> None:
        self._jobs, self._clock, self._streams_max = jobs, clock, streams_max
        self._running: set[asyncio.Task[Any]] = set()
        self._closed = False

    def route(self) -> Route:
        """The one there is."""
        return Route("GET", "/v1/jobs/{id}/events", self.serve)

    async def serve(self, asked: Asked) -> None:
        """Events until the job is over. `Last-Event-ID` names the version that the client has."""
        if self._closed:
            raise stopping()
        if len(self._running) >= self._streams_max:
            message = f"This gateway tells {self._streams_max} clients of jobs already. Poll the job, or try later."
            raise PlatformError(Reason.OVERLOADED, message, retry_after_seconds=5.0, started=False)
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - requests run in tasks; this tells mypy
        self._running.add(task)
        try:
            with UntilGone(asked.connection):
                await self._tell(asked)
        except PlatformError as problem:
            if problem.reason is not Reason.DRAINING or not asked.status:
                raise
            # It comes back to another gateway, with the version that it has.
            await asked.write(b"", last=True)
        finally:
            self._running.discard(task)

    async def close(self) -> None:
        """Ends every stream, as its client would come back from any other loss: jobs outlive every grace."""
        self._closed = True
        for task in tuple(self._running):
            task.cancel()

    async def _tell(self, asked: Asked) -> None:
        seen = _version(asked.header(b"last-event-id"))
        async with aclosing(job_news(self._jobs, asked.principal, asked.args["id"], self._clock)) as news:
            # What is wrong with the first word is told by the status.
            job = await anext(news)
            if job is not None and job.version < seen:
                seen = 0  # a version that this job never had: made up, or of a store that has lost its last writes
            if job is not None and over(job) and job.version <= seen:
                # A client that gets 204 does not come back.
                await asked.begin(204, [])
                await asked.write(b"", last=True)
                return
            await asked.begin(200, _HEADERS)
            if asked.head_only:
                await asked.write(b"", last=True)
                return
            await asked.write(_RETRY)
            try:
                seen = await self._write(asked, job, seen)
                async for job in news:
                    seen = await self._write(asked, job, seen)
            except PlatformError as problem:
                await asked.write(b"event: error\ndata: %b\n\n" % error_body(problem))
            await asked.write(b"", last=True)

    async def _write(self, asked: Asked, job: pb.Job | None, seen: int) -> int:
        """The version that the client has."""
        if job is None or job.version <= seen:
            await asked.write(_PING)
            return seen
        await asked.write(job_event(job))
        return job.version


def _version(text: str | None) -> int:
    """Of a header that a client may have made up; 0 = it has none."""
    usable = text is not None and text.isascii() and text.isdigit() and len(text) <= _VERSION_DIGITS_MAX
    return int(text) if usable and text is not None else 0
