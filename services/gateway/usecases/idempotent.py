"""Chat calls under an idempotency key: one answer, one charge, however often and wherever it is asked for.

The first call owns the answer: a task of its gateway makes it, logs it, and goes on when the client has gone, so that
the next call finds it. Every other call follows the log from its beginning to its end. When the owner has not been
heard of for longer than its lease, the next call that looks goes on in its place, under the same run id, so that the
ledger charges it once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from libs.errors import PlatformError, Reason
from libs.ids import request_id as new_request_id
from services.gateway.domain.idempotency import (
    Claim,
    Claimed,
    Keyed,
    Page,
    State,
    Verdict,
    abandoned,
    mismatch,
    too_large,
)
from services.gateway.domain.ledger.types import Standing
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Ended, Event, Started
from services.gateway.usecases.attempts import interrupted
from services.gateway.usecases.call import Held
from services.gateway.usecases.logged_events import Failed, decode
from services.gateway.usecases.maker import KeyedCall, Maker, MakerMeans
from services.gateway.usecases.variants import check_allowed

RETRY_SECONDS = 0.1
FOLLOWED = (Verdict.RUNNING, Verdict.DONE)


class KeyedChat:
    """All calls with a key of this process, and the answers that it makes for them."""

    def __init__(
        self,
        means: MakerMeans,
        *,
        count: Callable[[str], None] = lambda _: None,
        owners: Callable[[], str] = lambda: secrets.token_hex(8),
        run_ids: Callable[[], str] = new_request_id,
    ) -> None:
        """`count` is told the verdict of every claim, for metrics; `owners` and `run_ids` make names that are new."""
        self.means = means
        self._count = count
        self._owners = owners
        self._run_ids = run_ids
        self._making: set[asyncio.Task[None]] = set()

    async def open(
        self,
        keyed: Keyed,
        request: ChatRequest,
        principal: Principal,
        *,
        request_id: str,
        deadline: float,
    ) -> Answer:
        """The answer to a call.

        Raises MODEL_NOT_ALLOWED, IDEMPOTENCY_MISMATCH, CONFLICT (too long to be kept), CANCELLED (abandoned),
        STORE_UNAVAILABLE.
        """
        check_allowed(request.model, principal)
        call = KeyedCall(keyed, request, principal, request_id, deadline)
        created = int(self.means.clock.unix())
        owner, claimed = await self.claim(call, Claim(self._owners(), request_id, request_id, created))
        return Answer(self, call, owner, claimed)

    async def claim_again(self, call: KeyedCall, answer_id: str, created: int) -> tuple[str, Claimed]:
        """As `claim`, for an answer of which the client may know the id already."""
        return await self.claim(call, Claim(self._owners(), answer_id, self._run_ids(), created))

    async def claim(self, call: KeyedCall, claim: Claim) -> tuple[str, Claimed]:
        """The owner's name and what the claim found. Raises as `open`."""
        found = await self.means.answers.claim(call.keyed, claim)
        self._count(found.verdict.value)
        if found.verdict is Verdict.MISMATCH:
            raise mismatch()
        if found.verdict is Verdict.LARGE:
            raise too_large()
        if found.verdict is Verdict.ABANDONED:
            raise abandoned()
        return claim.owner, found

    async def make(self, call: KeyedCall, owner: str, claimed: Claimed) -> Maker:
        """Begins to make an answer, or goes on with it. Raises STORE_UNAVAILABLE."""
        part = await self._part(call, claimed) if claimed.verdict is Verdict.TAKEN else []
        maker = Maker(self.means, call, claimed, owner, part)
        task = maker.start()
        self._making.add(task)
        task.add_done_callback(self._making.discard)
        return maker

    async def _part(self, call: KeyedCall, claimed: Claimed) -> list[list[Event]]:
        """What the lost owner has logged, to the first error; entry by entry."""
        found: list[list[Event]] = []
        while True:
            page = await self.means.answers.read(call.keyed.slot, len(found), claimed.generation)
            entries = [decode(entry) for entry in page.entries]
            found += [[event for event in events if not isinstance(event, Failed)] for events in entries]
            if not page.entries:
                return found

    def __len__(self) -> int:
        """Answers that are being made."""
        return len(self._making)

    async def drain(self, grace: float) -> None:
        """Returns when all answers are made, or the grace (seconds) is over."""
        if self._making:
            await asyncio.wait(set(self._making), timeout=grace)

    async def close(self) -> None:
        """Breaks off what is still being made."""
        making = set(self._making)
        for task in making:
            task.cancel("the gateway is stopping")  # the words tell it from a client that leaves; see ChatPipeline
        await asyncio.gather(*making, return_exceptions=True)


class Answer:
    """The answer to one call. `answer_id` and `created` are those of the call that was first, whatever follows.

    `replayed`: it comes from the log, or begins there.
    """

    def __init__(self, chat: KeyedChat, call: KeyedCall, owner: str, claimed: Claimed) -> None:
        self._chat = chat
        self._call = call
        self._owner = owner
        self._claimed = claimed
        # Entries of the log that the client has.
        self._seen = 0
        self._failure: PlatformError | None = None
        self.answer_id = claimed.answer_id
        self.created = claimed.created
        self.replayed = claimed.verdict is not Verdict.OWN

    async def events(self, held: Held | None = None) -> AsyncGenerator[list[Event], None]:
        """As of ChatPipeline.chat; raises what it raises, and STORE_UNAVAILABLE where the log cannot be read."""
        self._call = replace(self._call, held=held)
        while True:
            source = self._follow() if self._claimed.verdict in FOLLOWED else self._own()
            async with aclosing(source):
                async for batch in source:
                    if not batch:
                        continue
                    yield self._told(batch)
                    if type(batch[-1]) is Ended:
                        return
            await self._claim_again()

    def _told(self, batch: list[Event]) -> list[Event]:
        """Headers are about this call, not about the one that was first: what was left then is no news."""
        about: dict[str, Any] = {"request_id": self._call.request_id, "replayed": self.replayed}
        if self.replayed:
            about["standing"] = Standing()
        return [replace(event, **about) if type(event) is Started else event for event in batch]

    async def _follow(self) -> AsyncGenerator[list[Event], None]:
        """What the log has, and gets. Ends without `Ended` where the answer needs another owner."""
        clock = self._chat.means.clock
        while True:
            page = await self._read()
            if (page.run_id, page.generation) != (self._claimed.run_id, self._claimed.generation):
                return
            if page.entries:
                yield self._events_of(page)
            if self._failure is not None:
                raise self._failure
            if page.entries:
                continue
            if page.state is not State.RUNNING:
                raise self._no_more(page.state)
            if page.lapsed:
                return
            if clock.monotonic() >= self._call.deadline:
                message = "The answer is not whole within the time given for this call. Send it again to wait for more."
                raise PlatformError(Reason.DEADLINE_EXCEEDED, message)
            await clock.sleep(self._chat.means.times.poll)

    async def _read(self) -> Page:
        """The next page. A store that is away for less than a lease is waited for once something was sent."""
        means = self._chat.means
        patience = means.clock.monotonic() + means.times.lease
        while True:
            try:
                return await means.answers.read(self._call.keyed.slot, self._seen, self._claimed.generation)
            except PlatformError as error:
                if not self._seen:
                    raise
                if means.clock.monotonic() >= patience:
                    raise interrupted("the store that keeps it does not answer") from error
            await means.clock.sleep(RETRY_SECONDS)

    def _events_of(self, page: Page) -> list[Event]:
        events: list[Event] = []
        for entry in page.entries:
            self._seen += 1
            for event in decode(entry):
                if isinstance(event, Failed):
                    self._failure = event.error()
                else:
                    events.append(event)
        return events

    def _no_more(self, state: State) -> PlatformError:
        if state is State.ABANDONED:
            return abandoned()
        if state is State.LARGE and not self._seen:
            return too_large()
        return interrupted("it became too long to be kept" if state is State.LARGE else "its end was not kept")

    async def _own(self) -> AsyncGenerator[list[Event], None]:
        """What this process makes; where it goes on, behind what the client has."""
        maker = await self._chat.make(self._call, self._owner, self._claimed)
        skip = self._seen
        try:
            async with aclosing(maker.feed.read()) as batches:
                async for batch in batches:
                    if maker.feed.anew:
                        self._must_have_seen_nothing()
                        self.replayed = False
                    if skip:
                        skip -= 1
                    else:
                        yield batch
        finally:
            maker.client_left()

    async def _claim_again(self) -> None:
        before = self._claimed
        try:
            self._owner, found = await self._chat.claim_again(self._call, self.answer_id, self.created)
        except PlatformError as error:
            if not self._seen:
                raise
            raise interrupted("it cannot be read on") from error
        if (found.run_id, found.generation) != (before.run_id, before.generation):
            self._must_have_seen_nothing()
        self._claimed = found
        self.replayed = found.verdict is not Verdict.OWN

    def _must_have_seen_nothing(self) -> None:
        if self._seen:
            raise interrupted("it had to be made anew by another gateway")
