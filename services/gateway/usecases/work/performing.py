"""Answers one request in the name of its reservation's caller: once, whoever asks and however often."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from libs.errors import PlatformError, Reason
from services.gateway.domain.idempotency import HEADER, keyed_work
from services.gateway.domain.ledger.types import Terms
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Event
from services.gateway.ports.answers import Abandoned
from services.gateway.usecases.accounts.holders import KeyHolders
from services.gateway.usecases.idempotent import Answer, KeyedChat
from services.gateway.usecases.ledger.reservations import ReservationDesk, released
from services.gateway.usecases.work.holder import in_background


@dataclass(frozen=True, slots=True)
class Step:
    """One request of a job. `body` is all that makes it the same request again, `key` its name ("<job>/<step>").

    `afterwards` are the terms where the reservation was released already; None = then nothing is done.
    """

    tenant: str
    reservation: str
    key: str
    body: bytes
    decode: Callable[[Principal], ChatRequest]
    afterwards: Terms | None = None


@dataclass(frozen=True, slots=True)
class Performance:
    """A request's answer, made or being made."""

    request: ChatRequest
    answer: Answer
    terms: Terms

    async def events(self) -> AsyncGenerator[list[Event], None]:
        """As of KeyedAnswer. Closing it stops nothing."""
        try:
            async with aclosing(self.answer.events()) as batches:
                async for batch in batches:
                    yield batch
        except PlatformError as error:
            raise _told(error, self.request, self.terms) from error


class Performing:
    """One object per process. `keyed` makes answers for work alone."""

    def __init__(self, holders: KeyHolders, desk: ReservationDesk, keyed: KeyedChat, abandoned: Abandoned) -> None:
        self._holders, self._desk = holders, desk
        self._keyed, self._abandoned = keyed, abandoned

    async def open(self, step: Step, *, request_id: str, deadline: float) -> Performance:
        """Begins an answer, or finds it; `deadline` is `Clock.monotonic` seconds. Raises PlatformError."""
        terms = await self._desk.terms(step.tenant, step.reservation) or step.afterwards
        if terms is None:
            raise released(step.reservation)
        holder = await self._holders.principal(step.tenant, terms.key)
        principal = in_background(holder, step.reservation, terms)
        request = step.decode(principal)
        keyed = keyed_work(step.tenant, step.key, step.body)
        try:
            answer = await self._keyed.open(keyed, request, principal, request_id=request_id, deadline=deadline)
        except PlatformError as error:
            raise _told(error, request, terms) from error
        return Performance(request, answer, terms)

    async def abandon(self, tenant: str, key: str) -> None:
        """Stops an answer, wherever it is made; the key gets none any more. Raises STORE_UNAVAILABLE."""
        await self._abandoned.abandon(keyed_work(tenant, key, b"").slot)


def _told(error: PlatformError, request: ChatRequest, terms: Terms) -> PlatformError:
    """The error as the job is to have it."""
    if error.reason is Reason.CONFLICT and error.param == HEADER:
        return too_large("it is longer than answers that are kept for jobs")
    if error.reason is Reason.MODEL_NOT_FOUND and request.model in terms.models:
        # A router that has just started knows no model before it has met its workers; whoever can wait shall.
        message = f"No worker that serves the model '{request.model}' is known just now. Try again later."
        return PlatformError(Reason.NO_WORKER, message, retry_after_seconds=1.0, started=False)
    return error


def too_large(why: str) -> PlatformError:
    """An answer that was made, and charged, and cannot be handed over."""
    message = (
        f"The answer was made and is charged, and cannot be told: {why}. "
        "Lower max_tokens, n or top_logprobs, or make the request directly and stream it."
    )
    return PlatformError(Reason.PAYLOAD_TOO_LARGE, message)
