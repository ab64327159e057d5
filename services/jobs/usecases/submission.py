"""Jobs that services with access to Kafka submit without an API call: who may speak for whom, and the acceptance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from libs.errors import PlatformError
from libs.kafka.handling import PoisonError
from services.jobs.domain.submission import Submission
from services.jobs.usecases.accept import Acceptor, is_refusal

EVERY_TENANT = "*"


@dataclass(frozen=True, slots=True)
class Producer:
    """A service that may submit. `secrets` are those that its signatures may be made with; `tenants` those that it may
    speak for, EVERY_TENANT = all.
    """

    secrets: Sequence[bytes]
    tenants: frozenset[str]


class Submissions:
    """Takes signed submissions; `producers` by the name in ce_source."""

    def __init__(self, acceptor: Acceptor, producers: Mapping[str, Producer]) -> None:
        self._acceptor, self._producers = acceptor, producers

    def secrets_of(self, source: str) -> Sequence[bytes]:
        """For the signature: none for a source that nobody knows."""
        producer = self._producers.get(source)
        return producer.secrets if producer else ()

    async def take(self, source: str, submission: Submission) -> None:
        """Accepts a job whose signature is `source`'s; a repeat finds it. What the gateway refuses becomes a FAILED
        job, whose end is told like every other.

        Raises PoisonError for a tenant that is none of the source's business, and for what can be no job; PlatformError
        for what passes.
        """
        tenant = submission.caller.tenant
        producer = self._producers.get(source)
        if producer is None or not producer.tenants & {tenant, EVERY_TENANT}:
            raise PoisonError(f"the producer {source[:100]!r} may not submit jobs for the tenant {tenant[:100]!r}")
        try:
            await self._acceptor.submit(submission, keep_refusal=True)
        except PlatformError as problem:
            if not is_refusal(problem):
                raise
            raise PoisonError(f"{problem.reason}: {problem.message}") from problem
