"""`headrace.jobs.v1.JobService` for gateways, which say in whose name they call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from google.protobuf import message_factory
from headrace.jobs.v1 import jobs_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.api import CallInfo, Handler, Responder
from libs.rpc.method import method
from services.jobs.convert import CALLER_KEY, caller_of, job_message, jobs_response, result_message, state_of
from services.jobs.convert import submission_of as as_submission
from services.jobs.domain.job import Caller, JobState
from services.jobs.domain.submission import unknown
from services.jobs.ports.store import Acceptance
from services.jobs.usecases.accept import Acceptor
from services.jobs.usecases.reading import JobReader, ReadResult
from services.jobs.usecases.watch import Watches

SERVICE = pb.DESCRIPTOR.services_by_name["JobService"]
KEY = "idempotency-key"
RESULTS_MAX = 100
# Of one message of a stream of results; a larger result has one of its own.
MESSAGE_BYTES = 1024 * 1024
# Who may say in whose name it calls.
GATEWAYS = frozenset({"gateway"})


class JobServer:
    """Serves every method of the service; each is named as its RPC, in lower case."""

    def __init__(self, acceptor: Acceptor, store: Acceptance, reader: JobReader, watches: Watches) -> None:
        self._acceptor, self._store, self._reader, self._watches = acceptor, store, reader, watches

    def handlers(self) -> Sequence[Handler]:
        """What an RpcServer serves. Raises AttributeError when the proto has a method that is not here."""
        return [self._handler(name) for name in SERVICE.methods_by_name]

    def _handler(self, name: str) -> Handler:
        found = SERVICE.methods_by_name[name]
        request, response = (message_factory.GetMessageClass(kind) for kind in (found.input_type, found.output_type))
        serve: Any = getattr(self, name.lower())
        served = _streaming(serve) if found.server_streaming else _unary(serve)
        return Handler(method(SERVICE, name, request, response), served, GATEWAYS)

    async def submitjob(self, caller: Caller, asked: pb.SubmitJobRequest, info: CallInfo) -> pb.SubmitJobResponse:
        """Accepts a job."""
        submission = as_submission(asked, caller, info.metadata.get(KEY, ""))
        accepted = await self._acceptor.submit(submission)
        return pb.SubmitJobResponse(job=job_message(accepted.job), replayed=accepted.replayed)

    async def getjob(self, caller: Caller, asked: pb.GetJobRequest, _: CallInfo) -> pb.GetJobResponse:
        """One job, with results where they are asked for."""
        if asked.results_max > RESULTS_MAX:
            message = f"'results_max' is {asked.results_max}; {RESULTS_MAX} come with a job, ReadResults has all."
            raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="results_max")
        job = await self._reader.get(caller, asked.id)
        read = await self._reader.first_results(job, asked.results_max) if asked.results_max else ()
        return pb.GetJobResponse(job=job_message(job), results=[_result(each) for each in read])

    async def listjobs(self, caller: Caller, asked: pb.ListJobsRequest, _: CallInfo) -> pb.ListJobsResponse:
        """The caller's jobs."""
        state = state_of(asked.state)
        page = await self._reader.list(caller, batches=asked.batches, after=asked.after, limit=asked.limit, state=state)
        return jobs_response(page.jobs, has_more=page.has_more, after=page.after)

    async def canceljob(self, caller: Caller, asked: pb.CancelJobRequest, _: CallInfo) -> pb.CancelJobResponse:
        """Ends a job; one that has ended stays as it is."""
        job = await self._reader.get(caller, asked.id)
        ended = await self._store.end(caller.tenant, job.id, JobState.CANCELLED)
        if ended is None:
            raise unknown(asked.id)
        return pb.CancelJobResponse(job=job_message(ended))

    async def watchjob(self, caller: Caller, asked: pb.WatchJobRequest, responder: Responder[Any]) -> None:
        """Tells of a job until nothing more will be told."""
        first = await self._reader.get(caller, asked.id)
        async with aclosing(self._watches.watch(caller.tenant, first)) as changes:
            async for job in changes:
                responder.send(pb.WatchJobResponse(job=job_message(job)))
                await responder.ready()

    async def readresults(self, caller: Caller, asked: pb.ReadResultsRequest, responder: Responder[Any]) -> None:
        """Streams results."""
        job = await self._reader.get(caller, asked.id)
        async with aclosing(self._reader.results(job, asked.first)) as pages:
            async for page in pages:
                for message in _messages(page):
                    responder.send(message)
                    await responder.ready()


Unary = Callable[[Caller, Any, CallInfo], Awaitable[Any]]
Streaming = Callable[[Caller, Any, Responder[Any]], Awaitable[None]]


def _unary(serve: Unary) -> Callable[[Any, CallInfo], Awaitable[Any]]:
    async def served(asked: Any, info: CallInfo) -> Any:
        return await serve(_caller(info), asked, info)

    return served


def _streaming(serve: Streaming) -> Callable[[Any, Responder[Any], CallInfo], Awaitable[None]]:
    async def served(asked: Any, responder: Responder[Any], info: CallInfo) -> None:
        await serve(_caller(info), asked, responder)

    return served


def _caller(info: CallInfo) -> Caller:
    return caller_of(info.metadata.get(CALLER_KEY, ""))


def _result(read: ReadResult) -> pb.Result:
    return result_message(read.result, read.body)


def _messages(page: Sequence[ReadResult]) -> Sequence[pb.ReadResultsResponse]:
    """The page in messages of about MESSAGE_BYTES."""
    messages, size = [pb.ReadResultsResponse()], 0
    for read in page:
        if size and size + len(read.body) > MESSAGE_BYTES:
            messages.append(pb.ReadResultsResponse())
            size = 0
        messages[-1].results.append(_result(read))
        size += len(read.body)
    return messages
