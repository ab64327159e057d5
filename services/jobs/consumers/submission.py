"""Submissions on headrace.jobs.requested.v1, which everybody with access to the topic can write."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.events.v1 import jobs_pb2 as events

from libs.kafka.events import ID
from libs.kafka.handling import Delivery, PoisonError
from libs.kafka.signature import verify
from services.jobs.convert import submission_of
from services.jobs.domain.job import Caller
from services.jobs.domain.submission import digest
from services.jobs.usecases.submission import Submissions


@dataclass(frozen=True, slots=True)
class SubmissionTaker:
    """What RequestedHandler takes for `submission`."""

    submissions: Submissions

    async def __call__(self, message: Delivery, event: events.JobRequested) -> None:
        """Returns when the job is accepted, or there already. Raises PoisonError for a forgery, and as `take`."""
        source = verify(message, self.submissions.secrets_of)
        asked = event.submission
        if not event.tenant or not asked.key_id:
            raise PoisonError("a submission in nobody's name: it needs a tenant and the id of a key")
        key = asked.idempotency_key or _event_key(source, message.headers[ID])
        caller = Caller(event.tenant, asked.key_id)
        await self.submissions.take(source, submission_of(asked.job, caller, key))


def _event_key(source: str, event_id: bytes) -> str:
    """Source and id together name an event (CloudEvents 1.0), whatever characters they have."""
    return "event:" + digest(source.encode(), event_id)
