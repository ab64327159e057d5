"""What the parts of this service do for each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.jobs.domain.agenda import Due
from services.jobs.domain.job import Batch, Job, PartSpec, Request


class Outgoing(Protocol):
    """Messages that leave. Sending twice does no harm; what was not sent stays on the agenda, which sends it later."""

    async def request(self, dues: Sequence[Due]) -> None:
        """Sends the messages of SEND and EXPAND entries to the requested topic.

        Returns when Kafka has them all; raises KafkaError, and then may have any of them.
        """
        ...

    async def finished(self, job: Job) -> None:
        """Publishes the end of a job. Raises as `request`."""
        ...


class BatchFiles(Protocol):
    """The files of batches."""

    async def requests_of(self, job: Job, part: PartSpec) -> Sequence[Request]:
        """Requests of a part that stand in the job's file, in order. Raises PlatformError(NOT_FOUND) when the file is
        gone, STORE_UNAVAILABLE when it cannot be read just now.
        """
        ...

    async def write_outputs(self, job: Job) -> Batch:
        """Writes output and error file of a batch that has ended; returns its `batch` with their ids. A repeat writes
        the same files. Raises STORE_UNAVAILABLE.
        """
        ...


class Expansion(Protocol):
    """Cuts the file of an accepted batch into parts."""

    async def expand(self, tenant: str, job: str) -> None:
        """Returns when the job is confirmed, or has failed for what its file says. A repeat goes on where the last one
        stopped, and does nothing to a job that is past it. Raises PlatformError for what is to be tried again.
        """
        ...


class WebhookCalls(Protocol):
    """Webhooks that are due."""

    async def call_webhook(self, due: Due) -> None:
        """One attempt, and what follows from it: `hooked`, and HOOK later or done. Raises STORE_UNAVAILABLE."""
        ...
