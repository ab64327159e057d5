"""headrace.jobs.finished.v1: what follows from an end, webhooks. One call of the store per tenant and poll."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence

from headrace.events.v1 import jobs_pb2 as events

from libs.clock import Clock
from libs.errors import PlatformError
from libs.kafka.events import decode
from libs.kafka.handling import Delivery, NewerSchemaError, PoisonError, RetryLaterError
from services.jobs.ports.store import Endings
from services.jobs.usecases.patience import patiently

Result = Exception | None


class FinishedHandler:
    """A libs.kafka BatchHandler."""

    def __init__(self, endings: Endings, clock: Clock, uniform: Callable[[], float] = random.random) -> None:
        self._endings, self._clock, self._uniform = endings, clock, uniform

    async def handle_batch(self, messages: Sequence[Delivery]) -> Sequence[Result]:
        """See BatchHandler."""
        results: list[Result] = [None] * len(messages)
        # Places of a tenant's messages, and what each says.
        tenants: dict[str, list[tuple[int, tuple[str, int]]]] = defaultdict(list)
        for place, message in enumerate(messages):
            try:
                event = decode(message, events.JobFinished)
            except (PoisonError, NewerSchemaError) as error:
                results[place] = error
            else:
                tenants[event.tenant].append((place, (event.job.id, event.job.version)))
        outcomes = await asyncio.gather(*(self._announce(tenant, told) for tenant, told in tenants.items()))
        for told, outcome in zip(tenants.values(), outcomes, strict=True):
            if outcome is not None:
                for place, _ in told:
                    results[place] = outcome
        return results

    async def _announce(self, tenant: str, told: Sequence[tuple[int, tuple[str, int]]]) -> Result:
        ends = [event for _, event in told]
        try:
            await patiently(lambda: self._endings.announce(tenant, ends), self._clock, self._uniform)
        except PlatformError as error:
            return RetryLaterError(f"{error.reason}: {error.message}", lasting=True)
        return None
