"""headrace.jobs.requested.v1: parts to run, files to cut, jobs of services with Kafka access."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from headrace.events.v1 import jobs_pb2 as events

from libs.clock import Clock
from libs.errors import PlatformError
from libs.kafka.events import decode
from libs.kafka.handling import Delivery, NewerSchemaError, RetryLaterError
from services.jobs.domain.attempt import PartKey
from services.jobs.domain.resend import Backlog
from services.jobs.ports.running import Expansion
from services.jobs.usecases.runner import Runner

# Takes a submission: (message, event). Raises PoisonError for one that is nobody's.
TakeSubmission = Callable[[Delivery, events.JobRequested], Awaitable[None]]


@dataclass(eq=False, slots=True)
class RequestedHandler:
    """A libs.kafka Handler. Every message may come any number of times."""

    runner: Runner
    expansion: Expansion
    submission: TakeSubmission
    clock: Clock
    parts_max: int
    _inside: int = 0
    _wait_seconds: float = 0.0

    async def handle(self, message: Delivery) -> None:
        """See Handler."""
        event = decode(message, events.JobRequested)
        self._note_wait(message)
        self._inside += 1
        try:
            await self._do(message, event)
        except PlatformError as error:
            # Of a part, the runner deals with it: this is a store, a blob or a gateway that is away.
            raise RetryLaterError(f"{error.reason}: {error.message}", lasting=True) from error
        finally:
            self._inside -= 1

    def backlog(self) -> Backlog:
        """How long messages wait in the topic, as seen from here."""
        return Backlog(self._wait_seconds, self._inside >= self.parts_max)

    async def _do(self, message: Delivery, event: events.JobRequested) -> None:
        what = event.WhichOneof("what")
        if what == "part":
            key = PartKey(event.part.job, event.part.part)
            await self.runner.run(event.tenant, key, replayed=message.replayed)
        elif what == "expansion":
            await self.expansion.expand(event.tenant, event.expansion.job)
        elif what == "submission":
            await self.submission(message, event)
        else:
            raise NewerSchemaError("JobRequested asks for what this version does not know")

    def _note_wait(self, message: Delivery) -> None:
        """A message out of a retry topic has waited on purpose."""
        if message.timestamp_ms and message.attempt == 1:
            self._wait_seconds = max(0.0, self.clock.unix() - message.timestamp_ms / 1000)
