"""Between the thread that owns a client and the event loop: news one way, requests the other."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass

from libs.kafka.consumer.port import Claim, Polled
from libs.kafka.errors import KafkaError

# Polls that may wait for the loop before the thread rests: one that is being handled, one that is ready.
AHEAD_MAX = 2


@dataclass(frozen=True, slots=True)
class CommitRequest:
    """See Source.commit; the answer goes to `answered`, from any thread."""

    offsets: Mapping[Claim, int]
    answered: Callable[[Collection[Claim] | KafkaError], None]


@dataclass(frozen=True, slots=True)
class FlowRequest:
    """See Source.flow."""

    claims: Collection[Claim]
    paused: bool


# None = look again: there is room for news, or the end has come.
Request = CommitRequest | FlowRequest | None


class Handover:
    """One loop, one thread. Each piece of news costs the loop one call."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._news: deque[Polled | KafkaError] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.requests: queue.SimpleQueue[Request] = queue.SimpleQueue()
        self.closing = False
        self.ended = asyncio.Event()

    # On the loop.

    async def next(self) -> Polled:
        """The next piece of news; raises those that are errors."""
        while not self._news:
            self._waiter = self._loop.create_future()
            await self._waiter
        news = self._news.popleft()
        if len(self._news) == AHEAD_MAX - 1:
            self.requests.put(None)
        if isinstance(news, KafkaError):
            raise news
        return news

    async def commit(self, offsets: Mapping[Claim, int]) -> Collection[Claim]:
        """See Source."""
        future: asyncio.Future[Collection[Claim]] = self._loop.create_future()

        def answered(answer: Collection[Claim] | KafkaError) -> None:
            with suppress(RuntimeError):  # the loop has closed: nobody waits any more
                self._loop.call_soon_threadsafe(_set, future, answer)

        self.requests.put(CommitRequest(offsets, answered))
        return await future

    def close(self) -> None:
        """The thread is to end."""
        self.closing = True
        self.requests.put(None)

    # On the thread.

    def tell(self, news: Polled | KafkaError) -> None:
        """Hands news to the loop, in order."""
        self._news.append(news)
        with suppress(RuntimeError):  # the loop has closed: nobody listens any more
            self._loop.call_soon_threadsafe(self._wake)

    def finish(self) -> None:
        """The thread is about to end."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.ended.set)

    @property
    def full(self) -> bool:
        """The loop is behind: nothing more should be fetched."""
        return len(self._news) >= AHEAD_MAX

    @property
    def idle(self) -> bool:
        """The loop has taken and handled all news, and waits for more."""
        return not self._news and self._waiter is not None and not self._waiter.done()

    def request(self, seconds: float) -> Request:
        """The next request, None when none came in time, or to look again."""
        try:
            return self.requests.get(timeout=seconds) if seconds else self.requests.get_nowait()
        except queue.Empty:
            return None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _set(future: asyncio.Future[Collection[Claim]], answer: Collection[Claim] | KafkaError) -> None:
    if future.done():
        return
    if isinstance(answer, KafkaError):
        future.set_exception(answer)
    else:
        future.set_result(answer)
