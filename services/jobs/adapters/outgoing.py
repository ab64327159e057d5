"""Messages of the jobs service, to Kafka."""

from __future__ import annotations

from collections.abc import Sequence

from headrace.events.v1 import jobs_pb2 as events

from libs.clock import Clock
from libs.kafka import Producer, Record
from libs.kafka.events import event_record
from services.jobs.convert import job_message
from services.jobs.domain.agenda import Due, Task
from services.jobs.domain.job import Job

REQUESTED = "headrace.jobs.requested.v1"
FINISHED = "headrace.jobs.finished.v1"
SOURCE = "headrace/jobs"


class KafkaOutgoing:
    """See ports.running.Outgoing. An event that is sent again has the same id."""

    def __init__(self, producer: Producer, clock: Clock) -> None:
        self._producer, self._clock = producer, clock

    async def request(self, dues: Sequence[Due]) -> None:
        """See Outgoing."""
        await self._producer.send([self._requested(due) for due in dues])

    async def finished(self, job: Job) -> None:
        """See Outgoing."""
        value = events.JobFinished(tenant=job.caller.tenant, key_id=job.caller.key_id, job=job_message(job))
        record = event_record(
            topic=FINISHED,
            key=key_of(job.caller.tenant, job.id),
            value=value,
            source=SOURCE,
            id=f"{job.id}:{job.version}",
            time=job.ended_ms / 1000,
        )
        await self._producer.send([record])

    def _requested(self, due: Due) -> Record:
        value = events.JobRequested(tenant=due.tenant)
        if due.task is Task.EXPAND:
            value.expansion.job = due.job
        else:
            value.part.job, value.part.part = due.job, due.part
        return event_record(
            topic=REQUESTED,
            key=key_of(due.tenant, due.job),
            value=value,
            source=SOURCE,
            id=f"{due.job}:{due.task}:{due.part}",
            time=self._clock.unix(),
        )


def key_of(tenant: str, job: str) -> bytes:
    """Of messages about a job: they keep their order."""
    return f"{tenant}/{job}".encode()
