"""A request that workers die of gets no third one, whoever sends it again and through whichever gateway.

Every worker that dies under a call puts it under suspicion, in a store that all gateways share; an answer clears it.
So what merely ran beside the killer is cleared by going on elsewhere, and the killer never is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.telemetry import get_logger
from services.gateway.domain.attempts import PastAttempt
from services.gateway.domain.quarantine import DEATHS_MAX, Suspects, characters, fingerprint
from services.gateway.domain.turns import ChatRequest
from services.gateway.ports.breakers import Died
from services.gateway.ports.quarantine import SuspectStore

# How late a gateway learns of a death that another one saw.
LOOK_SECONDS = 1.0
_log = get_logger("quarantine")


class Quarantine:
    """What is known of requests that workers died of. Run `keep` as a task. Calls pay for it only under suspicion."""

    def __init__(self, store: SuspectStore, died: Died, clock: Clock, secret: bytes) -> None:
        self._store = store
        self._died = died
        self._clock = clock
        self._secret = secret
        self._known = Suspects()
        self._tasks: set[asyncio.Task[None]] = set()
        # By fingerprint: what is still being found out. An answer clears the request after that, never before.
        self._blames: dict[str, asyncio.Task[None]] = {}

    def deaths(self, request: ChatRequest) -> int:
        """Workers that have died under this request lately. Raises REQUEST_QUARANTINED when those were enough."""
        if not len(self._known) or not self._known.may_hold(characters(request)):
            return 0
        deaths, seconds = self._known.find(fingerprint(request, self._secret), self._clock.monotonic())
        if deaths >= DEATHS_MAX:
            raise _refusal(deaths, seconds)
        return deaths

    def lost(self, request: ChatRequest, past: PastAttempt) -> None:
        """The call lost its worker: if that one has died, the request is a suspect. Returns at once.

        Workers that are silent or out of reach have not: whole machines and networks fail without any request's help.
        """
        key = fingerprint(request, self._secret)
        task = self._spawn(self._blame(key, characters(request), past, self._blames.get(key)))
        self._blames[key] = task
        task.add_done_callback(lambda done: self._found_out(key, done))

    def answered(self, request: ChatRequest) -> None:
        """The call has its answer in spite of a death: it was not the cause."""
        self._spawn(self._acquit(fingerprint(request, self._secret)))

    async def keep(self) -> None:
        """Follows what other gateways see, for ever."""
        try:
            while True:
                await self._look()
                await self._clock.sleep(LOOK_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _look(self) -> None:
        try:
            suspects = await self._store.suspects()
        except PlatformError:
            return  # what is known stays until its time is over
        if suspects is not None:
            self._known.replace(suspects, self._clock.monotonic())

    def _found_out(self, key: str, task: asyncio.Task[None]) -> None:
        if self._blames.get(key) is task:
            del self._blames[key]

    async def _blame(self, key: str, size: int, past: PastAttempt, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait({before})
        if past.reason != Reason.ENGINE_DEAD and not await self._died(past.address, past.boot_id):
            return
        try:
            suspect = await self._store.blame(key, size, f"{past.worker}/{past.boot_id}")
        except PlatformError:
            return
        self._known.add(suspect, self._clock.monotonic())
        if suspect.deaths >= DEATHS_MAX:
            _log.warning("request quarantined", fingerprint=key, deaths=suspect.deaths, worker=past.worker)

    async def _acquit(self, key: str) -> None:
        while (blame := self._blames.get(key)) is not None:
            await asyncio.wait({blame})
        self._known.discard(key)
        try:
            await self._store.acquit(key)
        except PlatformError:
            return  # its time ends by itself

    def _spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name="quarantine")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _refusal(deaths: int, seconds: float) -> PlatformError:
    message = (
        f"{deaths} workers have died while they worked on exactly this request, so it is sent to no other one for "
        f"{seconds:.0f} s. Change the request, or ask the operator, whose log says which workers they were."
    )
    return PlatformError(Reason.REQUEST_QUARANTINED, message, retry_after_seconds=seconds, started=False)
