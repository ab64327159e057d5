"""The plan of a call: its candidates in order, and a new plan when they are used up or nobody of it may be tried."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from libs.errors import PlatformError, Reason
from services.gateway.domain.attempts import Attempts, Outcome
from services.gateway.domain.flights import Flight
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.plan import Candidate, PlaceQuery
from services.gateway.domain.route import Skipped
from services.gateway.ports import Metadata, Router, Workers
from services.gateway.usecases.breakers import Breakers
from services.gateway.usecases.deadline import Deadline

PROBE_TIMEOUT_SECONDS = 0.25
# Of one call: those beyond are in the metrics.
SKIPPED_MAX = 32


class Candidates:
    """Hands out the workers to try, one after another, for one prompt."""

    __slots__ = (
        "_attempts", "_breakers", "_deadline", "_fresh", "_info", "_left_out", "_metadata", "_place_timeout", "_query",
        "_queue", "_router", "_workers", "plan", "predicted", "skipped",
    )  # fmt: skip

    def __init__(
        self,
        router: Router,
        workers: Workers,
        attempts: Attempts,
        breakers: Breakers,
        *,
        deadline: Deadline,
        place_timeout: float,
        metadata: Metadata,
    ) -> None:
        self._router = router
        self._workers = workers
        self._attempts = attempts
        self._breakers = breakers
        self._deadline = deadline
        self._place_timeout = place_timeout
        self._metadata = metadata
        self._query: PlaceQuery | None = None
        self._info: ModelInfo
        self._queue: deque[Candidate] = deque()
        # Nobody of the plan was tried yet.
        self._fresh = False
        # Workers that are left alone, since the call was aimed.
        self._left_out: dict[str, Candidate] = {}
        # The last plan as it came, and over the whole call who was left out.
        self.plan: tuple[Candidate, ...] = ()
        # What the plan says of caches means something.
        self.predicted = False
        self.skipped: list[Skipped] = []

    def aim(self, query: PlaceQuery, info: ModelInfo) -> None:
        """Sets what is to be placed, and drops the plan for anything else."""
        self._query, self._info = query, info
        self._queue.clear()
        self._left_out.clear()

    @property
    def left(self) -> int:
        """Candidates of the plan that were not tried."""
        return len(self._queue)

    async def next(self) -> Flight:
        """An attempt on the next worker, to be opened or given back.

        Raises NO_WORKER when there is none; NO_WORKER or OVERLOADED when all are left alone for a while;
        ROUTER_UNAVAILABLE, DEADLINE_EXCEEDED.
        """
        while True:
            if not self._queue:
                await self._plan()
            flight = self._breakers.admit(self._info, self._queue[0])
            if flight is not None:
                self._queue.popleft()
                self._fresh = False
                return flight
            await self._pass_over()

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

    async def _pass_over(self) -> None:
        """The next worker is left alone, and so are others of the plan, maybe. Its binding, if it is one, stays.

        When it is the plan's first, the others are what the router would spare for it: it is asked who is best without
        it. No attempt, and nothing of any budget.
        """
        closed, self._queue = self._queue, deque()
        for candidate in closed:
            why = self._breakers.why(self._info, candidate)
            if why:
                self._skip(candidate, why)
            else:
                self._queue.append(candidate)
        if not self._fresh or not self._queue:
            return
        spares, self._queue = self._queue, deque()
        try:
            await self._plan()
        except PlatformError:
            self._queue, self._fresh = spares, False

    def _skip(self, candidate: Candidate, why: str) -> None:
        if candidate.worker in self._left_out:
            return
        self._left_out[candidate.worker] = candidate
        self._breakers.skipped(why)
        if len(self.skipped) < SKIPPED_MAX:
            self.skipped.append(Skipped(candidate.worker, why))

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

    async def _place(self, failed: tuple[str, ...]) -> None:
        if self._query is None:
            raise RuntimeError("aim() comes before next()")
        query, exclude = self._query, failed
        if self._left_out:
            exclude = (*failed, *[worker for worker in self._left_out if worker not in failed])
            if self._nobody_else(exclude):
                raise self._all_left_alone(failed)
        if exclude:
            query = replace(query, exclude_workers=exclude)
        timeout = self._deadline.left(self._place_timeout)
        try:
            plan = await self._router.place(query, timeout=timeout, metadata=self._metadata)
        except PlatformError as error:
            if error.reason is Reason.NO_WORKER and self._left_out:
                raise self._all_left_alone(failed) from error
            raise
        usable = [c for c in plan.candidates if c.model_digest == query.model_digest and c.worker not in exclude]
        if not usable:
            if self._left_out:
                raise self._all_left_alone(failed)
            message = f"No live worker serves model '{query.model}'. Try again shortly; `status` says why."
            raise PlatformError(Reason.NO_WORKER, message, retry_after_seconds=1.0, started=False)
        self._queue.extend(usable)
        self.plan, self.predicted = tuple(plan.candidates), plan.predicted
        self._fresh = True

    def _nobody_else(self, exclude: tuple[str, ...]) -> bool:
        """Whether the catalog has only these for the model, so that the router need not say so.

        By address: some may have failed this call under another model, and be none of this one's.
        """
        ended = {past.address for past in self._attempts.ended if past.worker in exclude}
        return ended.union([left.address for left in self._left_out.values()]).issuperset(self._info.addresses)

    def _all_left_alone(self, failed: tuple[str, ...]) -> PlatformError:
        """Nobody is asked, and the caller learns at once when it is worth coming again.

        Those that failed this call may be well for every other one.
        """
        return self._breakers.all_refused(self._info, self._left_out.values(), all_of_them=not failed)
