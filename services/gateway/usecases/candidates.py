"""The plan of a call: its candidates in order, and a new plan when they are used up."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from libs.errors import PlatformError, Reason
from services.gateway.domain.attempts import Attempts, Outcome
from services.gateway.domain.plan import Candidate, PlaceQuery
from services.gateway.ports import Metadata, Router, Workers
from services.gateway.usecases.deadline import Deadline

PROBE_TIMEOUT_SECONDS = 0.25


class Candidates:
    """Hands out the workers to try, one after another, for one prompt."""

    __slots__ = ("_attempts", "_deadline", "_metadata", "_place_timeout", "_query", "_queue", "_router", "_workers")

    def __init__(
        self,
        router: Router,
        workers: Workers,
        attempts: Attempts,
        *,
        deadline: Deadline,
        place_timeout: float,
        metadata: Metadata,
    ) -> None:
        self._router = router
        self._workers = workers
        self._attempts = attempts
        self._deadline = deadline
        self._place_timeout = place_timeout
        self._metadata = metadata
        self._query: PlaceQuery | None = None
        self._queue: deque[Candidate] = deque()

    def aim(self, query: PlaceQuery) -> None:
        """Sets what is to be placed, and drops the plan for anything else."""
        self._query = query
        self._queue.clear()

    @property
    def left(self) -> int:
        """Candidates of the plan that were not tried."""
        return len(self._queue)

    async def next(self) -> Candidate:
        """The next worker to try. Raises NO_WORKER when there is none, ROUTER_UNAVAILABLE, DEADLINE_EXCEEDED."""
        if not self._queue:
            await self._plan()
        return self._queue.popleft()

    def failed(self) -> None:
        """A worker of the plan did not do: the next call of the session is to be placed anew."""
        if self._query is not None:
            self._router.forget(self._query)

    async def probe(self) -> None:
        """Finds out which of the lost workers still live, and writes it into the history."""
        unknown = self._attempts.unknown()
        timeout = self._deadline.left(PROBE_TIMEOUT_SECONDS)
        asked = [self._workers.lives(lost.address, lost.boot_id, timeout=timeout) for lost in unknown]
        for lost, lives in zip(unknown, await asyncio.gather(*asked), strict=True):
            lost.outcome = Outcome.DISCONNECT if lives else Outcome.DEATH

    async def _plan(self) -> None:
        """Asks the router. A worker that this call failed on returns only when it lives and nothing else is left."""
        if not self._attempts.ended:
            return await self._place(())
        try:
            await self._place(self._attempts.excluded(also_living=True))
        except PlatformError as error:
            if error.reason is not Reason.NO_WORKER:
                raise
            await self.probe()
            some, every = self._attempts.excluded(also_living=False), self._attempts.excluded(also_living=True)
            if some == every:
                raise
            await self._place(some)
        return None

    async def _place(self, exclude: tuple[str, ...]) -> None:
        if self._query is None:
            raise RuntimeError("aim() comes before next()")
        query = replace(self._query, exclude_workers=exclude) if exclude else self._query
        timeout = self._deadline.left(self._place_timeout)
        plan = await self._router.place(query, timeout=timeout, metadata=self._metadata)
        usable = [c for c in plan.candidates if c.model_digest == query.model_digest and c.worker not in exclude]
        if not usable:
            message = f"No live worker serves model '{query.model}'. Try again shortly; `status` says why."
            raise PlatformError(Reason.NO_WORKER, message, retry_after_seconds=1.0, started=False)
        self._queue.extend(usable)
