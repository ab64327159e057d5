"""One chat call: what the pipeline knows of it, and how worker deltas become events."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.clock import Clock
from libs.errors import PlatformError
from libs.rpc.api import Stream
from services.gateway.domain.fallback import CHANGED, UNFIT, Cure, cure_of
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.plan import PlaceQuery
from services.gateway.domain.record import CallRecord
from services.gateway.domain.route import told
from services.gateway.domain.sessions import affinity_key
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.events import Delta, Ended, Event, Started
from services.gateway.ports import Catalog, Metadata
from services.gateway.usecases.attempts import Means, Run
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.ledger.ceiling import under_ceiling
from services.gateway.usecases.ledger.charge import Charge, Charges
from services.gateway.usecases.prepare import Preparer
from services.gateway.usecases.sessions import OpenSession, SessionGuard
from services.gateway.usecases.stand_ins import StandIns, events_of
from services.gateway.usecases.taken_up import TakenUp
from services.gateway.usecases.variants import Variants

# Hears what is left of the limits once the call's price is held.
Held = Callable[[Standing], None]


@dataclass(frozen=True, slots=True)
class Services:
    """What every call works with; one object per process."""

    catalog: Catalog
    guard: SessionGuard
    preparer: Preparer
    means: Means
    charges: Charges
    clock: Clock
    # Taken off the deadline at every hop: time for the answer's way back.
    margin_seconds: float = 0.05
    stand_ins: StandIns | None = None


class Call:
    """The state of one call. Used by one task, from `open` over `start` and `events` to `end`."""

    __slots__ = (
        "_background",
        "_deadline",
        "_held",
        "_inherits",
        "_metadata",
        "_principal",
        "_request",
        "_services",
        "_session",
        "_variants",
        "_words",
        "charge",
        "kept",
        "record",
        "run",
    )

    def __init__(
        self,
        services: Services,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
        metadata: Metadata,
        held: Held | None = None,
        inherits: bool = False,
    ) -> None:
        """`inherits`: a gateway that was lost has begun the call, and its client has a part."""
        claim = request.session
        source = claim.source if claim.explicit or claim.affinity_key else "none"
        self._services = services
        self._request = request
        self._principal = principal
        self._metadata = metadata
        self._deadline = Deadline(services.clock, deadline, services.margin_seconds)
        self._variants = Variants(
            services.catalog, services.preparer, request, principal, deadline=self._deadline, metadata=metadata
        )
        self._session: OpenSession | None = None
        self._background = principal.reserved is not None
        self.run = Run(
            services.means,
            deadline=self._deadline,
            metadata=metadata,
            priority=principal.priority,
            background=self._background,
        )
        self.record = CallRecord(
            request_id=request_id,
            tenant=principal.tenant,
            model=request.model,
            session=claim.explicit,
            session_source=source,
            started_at=services.clock.monotonic(),
            streamed=request.streamed,
            principal=principal,
            request=request,
        )
        self.charge = Charge(services.charges, self.record, self._used_now, inherits=inherits)
        self._held = held
        self._inherits = inherits
        # What `Started` told of the route.
        self._words = ""
        stand_ins = services.stand_ins
        # Text of an answer that is to be kept; None for nearly all.
        self.kept = None if inherits or stand_ins is None else stand_ins.text_for(request, principal)

    async def open(self) -> None:
        """Everything before a worker is asked: model, session, prompt. Raises PlatformError; nothing was started."""
        services, request, variants = self._services, self._request, self._variants
        if not self._background:
            services.means.budget.request()
        variants.look_up()
        self.record.route = variants.route
        settled = variants.settled
        if settled:
            # Before anything is spent on it: under overload, most calls end here.
            self._check_door()
        session = request.session
        # Before the router is asked: it keeps state of sessions, which only their owners may change.
        if session.explicit:
            self._session = await services.guard.enter(session.explicit, self._principal, request.user)
            if session.root and session.root != session.explicit:
                # Its budget pays: only its owner may name it.
                await services.guard.enter(session.root, self._principal, request.user)
        await variants.choose(
            services.means.router, self.record.request_id, services.means.limits.place_timeout_seconds
        )
        await self._use_variant(let_in=settled)

    async def _use_variant(self, instead_of: PlatformError | None = None, *, let_in: bool = False) -> None:
        """Has the model at hand answer; one that cannot take the call gives way to the next. `let_in`: past its door.

        Raises `instead_of`, what the model before it failed with, where no other can take it.
        """
        while True:
            try:
                if not let_in:
                    self._check_door()
                return await self._use_model()
            except PlatformError as error:
                let_in = False
                if error.reason not in UNFIT or not self._variants.next(error.reason, tried=False):
                    if instead_of is None:
                        raise
                    raise instead_of from error

    def _check_door(self) -> None:
        """Raises OVERLOADED when the model at hand could only be waited for in vain, NO_WORKER when all its workers are
        left alone; not for a part to go on with.
        """
        info, means, principal = self._variants.info, self._services.means, self._principal
        if info is not None and self._background:
            # Also for a part: it comes again, and each time that it is held for and gets nowhere is one of few.
            means.room.check_background(info.name)
            means.breakers.check(info)
        elif info is not None and not self._inherits:
            means.room.check(info.name, principal.tenant, principal.priority, self._deadline)
            means.breakers.check(info)

    async def _use_model(self) -> None:
        opened = self._session.opened if self._session else None
        work = await self._variants.prepare(self.record.request_id, opened)
        self.record.model = work.info.name
        max_cost = self._request.constraints.max_cost
        if max_cost is not None:
            work = under_ceiling(self._services.charges, self._request, self._principal, work, max_cost)
        await self.charge.open(self._request, self._principal, work)
        if self._held is not None:
            self._held(self.charge.standing)
        self.run.use(work, self._query(work))
        self.run.impatient = self._variants.same_tier_next
        self.run.allow(self.charge.room, self.charge.low)

    def _used_now(self) -> tuple[int, int, int]:
        """Prompt, cached and completion tokens of the running call."""
        delivered = self.run.delivered
        cached = delivered.usages[0].cached_tokens if delivered.usages else 0
        return self.run.work.prompt_tokens, cached, delivered.completion_tokens()

    def lacks_room(self, batch: list[GenerateResponse]) -> bool:
        """Whether the batch would use up what is held: `make_room` is due before `events`."""
        delivered, left = self.run.delivered, self.run.delivered.room
        for response in batch:
            left -= len(response.token_ids)
        return left < delivered.low

    async def make_room(self, batch: list[GenerateResponse]) -> None:
        """Holds more for a batch. What no room could be made for is cut by `events`."""
        needed = sum([len(response.token_ids) for response in batch])
        total = await self.charge.make_room(self.run.delivered.tokens, needed)
        self.run.allow(total, self.charge.low)

    def _query(self, work: Work) -> PlaceQuery:
        claim, info = self._request.session, work.info
        affinity = "" if claim.explicit else affinity_key(self._request, self._principal.tenant)
        return PlaceQuery(
            self.record.request_id,
            self._principal.tenant,
            info.name,
            info.model_digest,
            work.prompt_tokens,
            claim.explicit,
            affinity,
            root_session=claim.root,
            prompt=work.prompt,
            block_tokens=info.block_tokens,
            cache_salt=work.cache_salt,
        )

    async def start(self) -> Stream[GenerateResponse]:
        """Opens the next attempt, on another model when nobody serves this one and nothing was sent."""
        while True:
            try:
                return await self.run.start()
            except PlatformError as error:
                await self._move_on(error, self.run.nowhere(error))

    async def recover(self, error: PlatformError) -> None:
        """Returns when another attempt shall follow `error`; else raises what the client is to be told."""
        try:
            await self.run.recover(error)
        except PlatformError as final:
            await self._move_on(final, final)

    async def _move_on(self, error: PlatformError, told: PlatformError) -> None:
        """Has another model answer where one may and can; else raises `told`."""
        cure = Cure.NONE if self.run.sent else cure_of(error.reason, self.run.attempts.ended)
        if cure is Cure.NONE or (cure is Cure.RETRY and (self._background or not self._services.means.budget.take())):
            raise told
        renewed = error.reason in CHANGED and self._variants.renewed()
        if not renewed and not self._variants.next(error.reason, tried=True):
            raise told
        await self._use_variant(told)

    def take_up(self, part: TakenUp) -> bool:
        """Goes on with an answer that another gateway has begun; False when it cannot, and begins anew."""
        if not self.run.take_up(part):
            return False
        self.record.first_delta_at = self._services.clock.monotonic()
        return True

    def events(self, batch: list[GenerateResponse]) -> list[Event]:
        """The events of a batch: `Started` comes before the call's first delta. Raises INTERNAL for a hole."""
        run = self.run
        deltas = run.accept(batch)
        if self.kept is not None:
            for delta in deltas:
                self.kept.take(delta)
        if run.sent or not deltas:
            return [Delta(delta) for delta in deltas]
        run.sent = True
        self.record.first_delta_at = self._services.clock.monotonic()
        return [self._started(), *[Delta(delta) for delta in deltas]]

    def _started(self) -> Started:
        run, record = self.run, self.record
        usages = run.delivered.usages
        self._words = self._told()
        return Started(
            request_id=record.request_id,
            model=record.model,
            worker=run.candidate.worker if run.candidate else "",
            session_id=record.session,
            session_source=record.session_source,
            cached_tokens=usages[0].cached_tokens if usages else 0,
            standing=self.charge.standing,
            model_digest=run.work.info.model_digest,
            route=self._words,
        )

    def _told(self) -> str:
        candidate = self.run.candidate
        worker, placed_by = (candidate.worker, candidate.reason) if candidate is not None else ("", "")
        return told(self._variants.route, worker, placed_by)

    @property
    def cut(self) -> bool:
        """The answer ends here, because no more could be held."""
        return self.run.delivered.cut

    def finish_cut(self) -> list[Event]:
        """The ends of an answer that its budget cuts short."""
        return [Delta(end) for end in self.run.delivered.finish_cut()]

    @property
    def whole(self) -> bool:
        """Every choice has its finish reason."""
        return not self.run.delivered.unfinished

    def end(self) -> Ended:
        """The account of a whole answer."""
        self.note()
        record, run = self.record, self.run
        record.ended_at = self._services.clock.monotonic()
        usages = run.delivered.usages
        if self.kept is not None and self._services.stand_ins is not None:
            record.truncated = self.charge.truncated
            self._services.stand_ins.keep(record, self.kept)
        return Ended(
            prompt_tokens=record.prompt_tokens,
            completion_tokens=record.completion_tokens,
            cached_tokens=record.cached_tokens,
            reasoning_tokens=usages[-1].reasoning_tokens if usages else 0,
            worker=record.worker,
            session_id=record.session,
            session_source=record.session_source,
            attempts=record.attempts,
            first_token_ms=(record.first_delta_at - record.started_at) * 1000,
            total_ms=(record.ended_at - record.started_at) * 1000,
            resumed=record.resumes > 0,
            estimated=bool(usages) and usages[-1].estimated,
            ignored_fields=self._request.ignored_fields,
            queued_ms=record.queued_ms,
            cost=self.charge.cost(),
            truncated=self.charge.truncated,
            # Once begun, an answer changes its worker at most.
            route=self._words if self._words and not run.resumes else self._told(),
        )

    async def instead(self, error: BaseException) -> list[Event]:
        """A stored answer in place of one that could not be begun. Raises `error` where there is none."""
        stand_ins = self._services.stand_ins
        if stand_ins is None or self.run.sent or self._inherits:
            raise error
        found = await stand_ins.find(error, self._request, self._principal)
        if found is None:
            raise error
        self.note()
        self.record.ended_at = self._services.clock.monotonic()
        return events_of(found, self.record, self.charge.standing, self._request.ignored_fields)

    def leave(self) -> None:
        """Gives the call's place among those under way to another; whatever became of it."""
        self.run.leave()

    def settle(self) -> None:
        """Settles or refunds what was held; the record is complete."""
        usages = self.run.delivered.usages if self.run.epoch >= 0 else []
        self.charge.end(usages[-1].reasoning_tokens if usages else 0)

    def note(self) -> None:
        """Brings the record up to date; for calls that end early, too."""
        record, run = self.record, self.run
        record.past = run.attempts.ended
        record.attempts = run.epoch + 1
        record.resumes = run.resumes
        record.queued_ms = run.queued_seconds * 1000
        record.reproducible = not (run.resumes and self._request.sampling.seed is not None)
        if run.candidate is not None:
            record.worker, record.placed_by = run.candidate.worker, run.candidate.reason
            record.boot_id, record.first_token_ms = run.candidate.boot_id, run.first_token_ms
        route = self._variants.route
        route.predicted, route.candidates, route.skipped = run.predicted, run.plan, run.skipped
        if run.epoch >= 0:
            self._note_tokens()

    def _note_tokens(self) -> None:
        record, delivered = self.record, self.run.delivered
        usages = delivered.usages
        # Engines that take turns report what they counted; with token ids, what was delivered is the truth.
        last = usages[-1] if usages else None
        record.prompt_tokens = self.run.work.prompt_tokens or (last.prompt_tokens if last else 0)
        record.completion_tokens = delivered.completion_tokens()
        record.cached_tokens = usages[0].cached_tokens if usages else 0
        record.reasoning_tokens = last.reasoning_tokens if last else 0
        record.finishes = delivered.finishes
        record.reprefill_tokens = sum(max(0, u.prompt_tokens - u.cached_tokens) for u in usages[1:])
        record.stale_deltas = self.run.stale + delivered.stale
