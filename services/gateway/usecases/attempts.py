"""The plan runner: streams from one worker after another until the answer is whole (design: when a worker dies)."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.errors import PlatformError, Reason
from libs.resilience.retry_budget import RetryBudget
from libs.rpc.api import Stream
from services.gateway.domain.attempts import LOSSES, PASSING, Attempts, Caps, Outcome, PastAttempt, Verdict, outcome_of
from services.gateway.domain.delivered import UNBOUNDED, Delivered, HoleError
from services.gateway.domain.flights import Flight
from services.gateway.domain.honour import resumable
from services.gateway.domain.plan import Candidate, PlaceQuery
from services.gateway.domain.route import Skipped
from services.gateway.domain.work import Attempt, Work
from services.gateway.ports import Metadata, Router, Workers
from services.gateway.usecases.breakers import Breakers
from services.gateway.usecases.candidates import Candidates
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.quarantine import Quarantine
from services.gateway.usecases.taken_up import TakenUp
from services.gateway.usecases.waiting import QueuedCall, Ticket, WaitingRoom

# In records, for the reason of an attempt that the watchdog gave up.
STALLED = "STALLED"
# What connections end with before anything was begun on them.
_UNREACHED = frozenset({Reason.WORKER_LOST, Reason.CANCELLED})


@dataclass(frozen=True, slots=True)
class RunnerLimits:
    """Caps of the plan runner."""

    caps: Caps = field(default_factory=Caps)
    # The longest wait for the router's plan; the trunk answers in about a millisecond.
    place_timeout_seconds: float = 2.0


@dataclass(frozen=True, slots=True)
class Means:
    """What every run works with; one object for all calls."""

    router: Router
    workers: Workers
    budget: RetryBudget
    limits: RunnerLimits
    room: WaitingRoom
    breakers: Breakers
    quarantine: Quarantine


class Run:
    """The attempts of one call. The caller reads the streams; this decides where they come from and what they mean."""

    __slots__ = (
        "_allowance", "_background", "_candidates", "_deadline", "_flight", "_last", "_means", "_metadata",
        "_opened_at", "_priority", "_query", "_suspicion_known", "_ticket", "attempts", "candidate", "delivered",
        "epoch", "first_token_ms", "impatient", "predicted", "queued_seconds", "resumes", "sent", "stale", "work",
    )  # fmt: skip

    def __init__(
        self, means: Means, *, deadline: Deadline, metadata: Metadata, priority: int = 0, background: bool = False
    ) -> None:
        """`background`: it takes places that no live call wants, and never waits for one."""
        self._means = means
        self._priority = priority
        self._background = background
        self._deadline = deadline
        self._metadata = metadata
        self.attempts = Attempts(means.limits.caps)
        self._candidates = Candidates(
            means.router,
            means.workers,
            self.attempts,
            means.breakers,
            deadline=deadline,
            place_timeout=means.limits.place_timeout_seconds,
            metadata=metadata,
        )
        self._query: PlaceQuery
        # Its place among the calls under way; None = it has none, or has yet to get it.
        self._ticket: Ticket | None = None
        self.queued_seconds = 0.0
        # Output tokens that may be delivered in all, and how few of them left are few.
        self._allowance = (UNBOUNDED, 0)
        self.work: Work
        self.delivered: Delivered
        self.candidate: Candidate | None = None
        # The attempt in progress; None = there is none.
        self._flight: Flight | None = None
        # Whether earlier calls with the same request have cost workers was looked up.
        self._suspicion_known = False
        self.epoch = -1
        # The attempt in progress: its opening (`Clock.monotonic`), and how long its first delta took; None = none yet.
        self._opened_at = 0.0
        self.first_token_ms: float | None = None
        # Tokens that the worker tried first was expected to have cached; None = nobody could tell.
        self.predicted: int | None = None
        self._last: PlatformError | None = None
        self.resumes = 0
        self.stale = 0
        # The client has a part of the answer: from then on only a resume will do.
        self.sent = False
        # There is as good a model that may have room: this one's is not waited for.
        self.impatient = False

    def use(self, work: Work, query: PlaceQuery) -> None:
        """Sets the variant to run; later attempts go to its workers only."""
        self.work = work
        self.delivered = self._nothing_delivered()
        self._query = query
        self._candidates.aim(query, work.info)

    @property
    def skipped(self) -> list[Skipped]:
        """Workers that were left alone so far, and why."""
        return self._candidates.skipped

    @property
    def plan(self) -> tuple[Candidate, ...]:
        """The router's last plan, as it came."""
        return self._candidates.plan

    def allow(self, tokens: int, low: int) -> None:
        """Sets how many output tokens may be delivered in all; below `low` left, room is to be made."""
        self._allowance = (tokens, low)
        self.delivered.room, self.delivered.low = tokens - self.delivered.tokens, low

    def take_up(self, part: TakenUp) -> bool:
        """Makes `part` what the client has; False, and nothing is changed, when the work cannot go on behind it."""
        found = part.delivered(max(1, self.work.request.sampling.n))
        if found is None or part.model_digest != self.work.info.model_digest:
            return False
        before, (self.delivered, epoch) = self.delivered, found
        if self.delivered.unfinished and not self._resumable():
            self.delivered = before
            return False
        self.epoch, self.sent = epoch, True
        self.allow(*self._allowance)
        return True

    async def start(self) -> Stream[GenerateResponse]:
        """Opens the next attempt. Raises PlatformError when there is nowhere to go (see Candidates.next)."""
        if not self._suspicion_known:
            self.attempts.prior_deaths = self._means.quarantine.deaths(self.work.request)
            self._suspicion_known = True
        if (self._ticket is None or self._ticket.model != self._query.model) and not self._entered():
            await self._queue(None)
        flight = await self._next()
        try:
            return self._open(flight)
        except BaseException:
            self._means.breakers.back(flight)
            raise

    async def _next(self) -> Flight:
        """Whose turn it is. Who waits for a worker's pause to end does so in the queue."""
        while True:
            try:
                return await self._candidates.next()
            except PlatformError as error:
                if error.reason is not Reason.OVERLOADED or error.started:
                    raise
                await self._queue(error)

    def _open(self, flight: Flight) -> Stream[GenerateResponse]:
        candidate, work = flight.candidate, self.work
        timeout = self._deadline.left()
        self.epoch += 1
        self.candidate = candidate
        if not self.attempts.ended:
            self.predicted = candidate.cached_tokens if self._candidates.predicted else None
        self._opened_at, self.first_token_ms = self._deadline.clock.monotonic(), None
        self.delivered.begin(self.epoch)
        attempt = self._attempt()
        stream = self._means.workers.generate(candidate, work, attempt, timeout=timeout, metadata=self._metadata)
        uncached = max(0, work.prompt_tokens - candidate.cached_tokens)
        self._means.breakers.opened(flight, self.delivered, stream.cancel, uncached)
        self._flight = flight
        return stream

    def listen(self, stream: Stream[GenerateResponse]) -> Awaitable[list[GenerateResponse]]:
        """The stream's next batch. While it is waited for, silence is the worker's."""
        if self._flight is not None:
            self._flight.listening = True
        return stream.next_batch()

    def over(self) -> None:
        """The attempt in progress has ended, well or because its caller has gone. A repeat does nothing."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        whole = self.delivered.cut or not self.delivered.unfinished
        self._means.breakers.ended(flight, whole=whole)
        attempts = self.attempts
        if whole and (attempts.prior_deaths or (attempts.ended and attempts.losses)):
            self._means.quarantine.answered(self.work.request)

    def _attempt(self) -> Attempt:
        work, sampling = self.work, self.work.request.sampling
        if not self.sent:
            return Attempt(self.epoch, work.max_tokens, sampling.min_tokens)
        self.resumes += 1
        resume = self.delivered.resume(work.max_tokens)
        spent = self.delivered.spent_least()
        return Attempt(self.epoch, work.max_tokens - spent, max(0, sampling.min_tokens - spent), resume)

    def accept(self, batch: Sequence[GenerateResponse]) -> list[GenerateResponse]:
        """The deltas of a batch that are to be sent. Raises INTERNAL when one does not continue the stream."""
        flight = self._flight
        if flight is not None:
            flight.listening = False
            flight.heard += 1
        if self.first_token_ms is None:
            now = self._deadline.clock.monotonic()
            self.first_token_ms = (now - self._opened_at) * 1000
            if flight is not None:
                flight.began(now)
            self._served(batch)
        try:
            return self.delivered.take(batch)
        except HoleError as error:
            worker = self.candidate.worker if self.candidate else ""
            raise PlatformError(Reason.INTERNAL, f"Worker {worker} broke the order of its stream: {error}.") from error

    def _served(self, batch: Sequence[GenerateResponse]) -> None:
        if self._ticket is None:
            return
        # Providers do not tell how long a call has waited there.
        says = self.work.info.capabilities.tokens_in
        waited = next((r.usage.queue_ms / 1000 for r in batch if r.HasField("usage")), None) if says else None
        self._means.room.served(self._ticket, self._opened_at, waited)

    def leave(self) -> None:
        """Gives the call's place to another. It is over, or goes nowhere for a while; a repeat does nothing."""
        if self._ticket is not None:
            self._means.room.leave(self._ticket)
            self._ticket = None

    def cut_short(self) -> PlatformError:
        """The error of a stream that ended well without a finish reason for every choice."""
        worker = self.candidate.worker if self.candidate else ""
        return PlatformError(Reason.INTERNAL, f"Worker {worker} ended its stream before the answer was whole.")

    async def recover(self, error: PlatformError) -> None:
        """Returns when another attempt shall follow `error`; else raises what the client is to be told."""
        error, outcome, reason = self._ended_with(error)
        self._last = error
        self._remember(outcome, reason)
        if not await self._goes_on(error):
            told = self._final(error, outcome)
            if told is error:
                raise error
            raise told from error
        if not self.sent:
            self._forget_attempt()

    def _ended_with(self, error: PlatformError) -> tuple[PlatformError, Outcome, str]:
        """What the attempt ended with, once its worker's breaker knows: the watchdog's word stands for its cancel."""
        flight, self._flight = self._flight, None
        outcome, reason = outcome_of(error), error.reason.value
        if flight is None:
            return error, outcome, reason
        if flight.stalled is not None:
            error, reason = flight.stalled, STALLED
            outcome = Outcome.LOST if flight.stall_cause == "silent" else Outcome.STALL
        self._means.breakers.failed(flight, outcome, error)
        return error, outcome, reason

    def _remember(self, outcome: Outcome, reason: str) -> None:
        candidate = self.candidate
        if candidate is not None:
            where = candidate.worker, candidate.address, candidate.boot_id
            past = PastAttempt(*where, outcome, reason, self.first_token_ms, self._query.model)
            self.attempts.add(past)
            if outcome in (Outcome.LOST, Outcome.DEATH) and reason != STALLED:
                self._means.quarantine.lost(self.work.request, past)
        if outcome is not Outcome.FINAL:
            self._candidates.failed()

    def _forget_attempt(self) -> None:
        self.stale += self.delivered.stale
        self.delivered = self._nothing_delivered()

    def _nothing_delivered(self) -> Delivered:
        return Delivered(max(1, self.work.request.sampling.n), *self._allowance)

    async def _goes_on(self, error: PlatformError) -> bool:
        pushed_back = error.reason is Reason.OVERLOADED and not error.started
        if error.reason is Reason.OVERLOADED and not self._candidates.left:
            # The plan named everybody: asking the router again would only add to the load.
            return pushed_back and await self._queue(error)
        verdict = self._verdict()
        if verdict is Verdict.PROBE:
            await self._candidates.probe()
            verdict = self._verdict()
        if verdict is Verdict.RETRY:
            # Retries are few, and those of work that can come again are no live call's.
            return not self._background and self._means.budget.take()
        if verdict is Verdict.STOP and pushed_back:
            return await self._queue(error)
        return verdict is Verdict.GO_ON

    async def _queue(self, refusal: PlatformError | None) -> bool:
        """Waits until it is this call's turn to try. Raises what the client is to be told when none comes."""
        query, clock = self._query, self._deadline.clock
        if self._background:
            raise refusal or self._means.room.no_spare(query.model)
        if self.impatient and not self.sent:
            raise refusal or _others_wait(query.model)
        call = QueuedCall(query.model, query.tenant, self._priority, self._deadline)
        held, self._ticket = self._ticket, None
        began = clock.monotonic()
        try:
            self._ticket = await self._means.room.wait(call, refusal, held)
        except PlatformError as error:
            if not self.sent:
                raise
            raise interrupted("its worker was lost and all others are busy") from error
        self.queued_seconds += clock.monotonic() - began
        self._candidates.aim(query, self.work.info)
        self.attempts.forgive_refusals()
        return True

    def _entered(self) -> bool:
        """Gets the call a place, if one is free; that of another model is given back."""
        if self._ticket is not None:
            self.leave()
        room, query = self._means.room, self._query
        self._ticket = room.enter_background(query.model) if self._background else room.enter(query.model, query.tenant)
        return self._ticket is not None

    def _verdict(self) -> Verdict:
        return self.attempts.verdict(sent=self.sent, resumable=self.sent and self._resumable())

    def _resumable(self) -> bool:
        work = self.work
        return resumable(work.request, work.info.capabilities) and self.delivered.left_all(work.max_tokens)

    def nowhere(self, error: PlatformError) -> PlatformError:
        """What the client is told when no further attempt could be opened because of `error`."""
        if error.reason is Reason.DEADLINE_EXCEEDED:
            return error
        if self.sent and self._background and error.reason in PASSING:
            return error  # what there is of the answer is kept, and gone on with by whoever asks again
        if self.sent:
            return interrupted(f"its worker was lost and no other could take over ({error.reason})")
        if self._last is not None and outcome_of(self._last) not in LOSSES:
            return self._as_told(self._last)
        return error

    def _final(self, error: PlatformError, outcome: Outcome) -> PlatformError:
        if outcome is Outcome.FINAL:
            return error
        if self.sent:
            return interrupted(self._story(error))
        if outcome in LOSSES:
            message = f"The answer could not be made: {self._story(error)}. Nothing was sent; send the request again."
            return PlatformError(Reason.WORKER_LOST, message, retry_after_seconds=1.0)
        return self._as_told(error)

    def _as_told(self, error: PlatformError) -> PlatformError:
        """The error as the client may see it: where a worker is and why it cannot be reached is the operator's."""
        if error.started or error.reason not in _UNREACHED:
            return own_fault(error)
        message = f"The workers of model '{self._query.model}' cannot be reached just now. Try again shortly."
        return PlatformError(Reason.NO_WORKER, message, retry_after_seconds=1.0, started=False)

    def _story(self, error: PlatformError) -> str:
        losses = self.attempts.losses
        if len(losses) > 1:
            return f"{len(losses)} workers were lost while they worked on it ({', '.join(x.outcome for x in losses)})"
        if losses and self.sent:
            return f"its worker was lost ({error.reason}) and its state cannot be rebuilt elsewhere"
        return f"its worker failed ({error.reason})"


def _others_wait(model: str) -> PlatformError:
    message = f"Calls of the model '{model}' wait for its workers. Try again shortly."
    return PlatformError(Reason.OVERLOADED, message, retry_after_seconds=1.0, started=False)


def interrupted(why: str) -> PlatformError:
    """The error that ends a stream of which the client has a part."""
    message = f"The answer stopped in the middle: {why}. What was sent is incomplete; send the request again."
    return PlatformError(Reason.STREAM_INTERRUPTED, message, retry_after_seconds=1.0)


def own_fault(error: PlatformError) -> PlatformError:
    """The error as the client may see it: a worker that refused the gateway says nothing about the client's key."""
    if error.reason not in (Reason.INVALID_API_KEY, Reason.PERMISSION_DENIED):
        return error
    message = f"A worker refused this gateway ({error.message}). The operator should check internal_token_file."
    return PlatformError(Reason.INTERNAL, message, started=error.started)
