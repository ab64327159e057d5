"""What is asked in one moment, asked together: one call of the store per tenant."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Ask = TypeVar("Ask")
Answer = TypeVar("Answer")

ITEMS_MAX = 500


@dataclass(eq=False, slots=True)
class _Queue(Generic[Ask, Answer]):
    """Of one tenant: what waits for the call that comes next."""

    items: list[tuple[Ask, asyncio.Future[Answer]]] = field(default_factory=list)
    task: asyncio.Task[None] | None = None


class Coalescer(Generic[Ask, Answer]):
    """Gathers asks of one event-loop turn, and while a call is under way those that come meanwhile. Calls of a tenant
    follow each other; no timer delays anybody.
    """

    def __init__(self, call: Callable[[str, Sequence[Ask]], Awaitable[Sequence[Answer]]], name: str) -> None:
        self._call, self._name = call, name
        self._queues: dict[str, _Queue[Ask, Answer]] = {}

    async def ask(self, tenant: str, ask: Ask) -> Answer:
        """The answer to this ask; raises what the call raised. Who is cancelled leaves the call to the others."""
        queue = self._queues.setdefault(tenant, _Queue())
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        queue.items.append((ask, future))
        if queue.task is None:
            queue.task = asyncio.create_task(self._drain(tenant, queue), name=f"{self._name} of {tenant}")
        return await future

    async def _drain(self, tenant: str, queue: _Queue[Ask, Answer]) -> None:
        while queue.items:
            taken, queue.items = queue.items[:ITEMS_MAX], queue.items[ITEMS_MAX:]
            try:
                _answer(taken, await self._call(tenant, [ask for ask, _ in taken]))
            except asyncio.CancelledError:  # the process ends
                for _, future in taken + queue.items:
                    future.cancel()
                raise
            except Exception as error:  # belongs to each that asked
                _fail(taken, error)
        del self._queues[tenant]


def _fail(taken: Sequence[tuple[Ask, asyncio.Future[Answer]]], error: Exception) -> None:
    for _, future in taken:
        if not future.done():
            future.set_exception(error)


def _answer(taken: Sequence[tuple[Ask, asyncio.Future[Answer]]], answers: Sequence[Answer]) -> None:
    for (_, future), answer in zip(taken, answers, strict=True):
        if not future.done():
            future.set_result(answer)
