"""`headrace.jobs.v1.JobService` on the public gRPC port: the key is checked, and the call goes on in its name."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any

from google.protobuf import message_factory
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.clock import Clock
from libs.errors import PlatformError
from libs.ids import boot_id
from libs.rpc.api import CallInfo, Handler, Responder
from libs.rpc.method import method
from services.gateway.api.jobs.asked import unavailable
from services.gateway.api.jobs.job_routes import JobLimits
from services.gateway.api.ports import Authenticator, admitted
from services.gateway.domain.turns import Principal
from services.gateway.metrics import RestMetrics
from services.gateway.ports.jobs import JobService
from services.gateway.usecases.job_news import job_news
from services.gateway.wire.job_bodies import check_count
from services.gateway.wire.key_texts import scrub

SERVICE = pb.DESCRIPTOR.services_by_name["JobService"]
ROUTE = "grpc_jobs"
SUBMIT, WATCH, RESULTS = "SubmitJob", "WatchJob", "ReadResults"
# Of requests that are given as messages.
CHAT_PATH = "/v1/chat/completions"
KEY = "idempotency-key"


class GrpcJobs:
    """Serves every method; `jobs` None = there is no jobs service, and they say so.

    Nothing of the caller's metadata goes on but its idempotency key, so nobody can call in another's name.
    """

    def __init__(
        self, jobs: JobService | None, door: Authenticator, clock: Clock, metrics: RestMetrics, limits: JobLimits
    ) -> None:
        self._jobs, self._door, self._clock, self._metrics, self._limits = jobs, door, clock, metrics, limits

    def handlers(self) -> Sequence[Handler]:
        """What an RpcServer serves."""
        return [self._handler(name) for name in SERVICE.methods_by_name]

    def _handler(self, name: str) -> Handler:
        found = SERVICE.methods_by_name[name]
        request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
        serve = self._stream if found.server_streaming else self._call
        return Handler(method(SERVICE, name, request, response), partial(serve, name))

    async def _call(self, name: str, asked: Any, info: CallInfo) -> Any:
        began, status = self._clock.monotonic(), 499
        try:
            principal = await admitted(self._door, info.metadata.get("authorization", ""))
            answer = await self._passed_on(name, asked, principal, info)
            status = 200
        except PlatformError as problem:
            status = problem.http_status
            problem.message = scrub(problem.message)
            raise
        else:
            return answer
        finally:
            self._metrics.request(ROUTE, status, self._clock.monotonic() - began)

    async def _passed_on(self, name: str, asked: Any, principal: Principal, info: CallInfo) -> Any:
        jobs = self._open()
        if name != SUBMIT:
            timeout = self._timeout(info, self._limits.call_seconds)
            return await jobs.call(name, asked, principal, timeout=timeout)
        check_count(len(asked.requests), self._limits.requests_max)
        for request in asked.requests:
            if request.work.WhichOneof("form") == "chat" and not request.work.path:
                request.work.path = CHAT_PATH
        # Without a key of the caller's, one for this call alone: a lost replica's call is made again.
        key = info.metadata.get(KEY, "") or f"once:{boot_id()}"
        timeout = self._timeout(info, self._limits.submit_seconds)
        return await jobs.call(name, asked, principal, timeout=timeout, key=key)

    async def _stream(self, name: str, asked: Any, responder: Responder[Any], info: CallInfo) -> None:
        began, status = self._clock.monotonic(), 499
        try:
            principal = await admitted(self._door, info.metadata.get("authorization", ""))
            async with aclosing(self._responses(name, asked, principal, info)) as responses:
                async for response in responses:
                    responder.send(response)
                    await responder.ready()
            status = 200
        except PlatformError as problem:
            status = problem.http_status
            problem.message = scrub(problem.message)
            raise
        finally:
            self._metrics.request(ROUTE, status, self._clock.monotonic() - began)

    async def _responses(
        self, name: str, asked: Any, principal: Principal, info: CallInfo
    ) -> AsyncGenerator[Any, None]:
        jobs = self._open()
        if name == WATCH:
            async with aclosing(job_news(jobs, principal, asked.id, self._clock)) as news:
                async for job in news:
                    if job is not None:
                        yield pb.WatchJobResponse(job=job)
            return
        stream = jobs.stream(name, asked, principal, timeout=self._timeout(info, self._limits.results_seconds))
        async with aclosing(stream) as responses:
            async for response in responses:
                yield response

    def _open(self) -> JobService:
        if self._jobs is None:
            raise unavailable()
        return self._jobs

    def _timeout(self, info: CallInfo, longest: float) -> float:
        """Seconds: the caller's, where they are fewer."""
        return longest if info.deadline is None else min(longest, info.deadline - self._clock.monotonic())
