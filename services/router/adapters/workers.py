"""Follows the workers: one subscription to each one's WatchState, its description on every new life."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from headrace.inference.v1 import inference_pb2 as inference

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Channel, Stream
from libs.rpc.method import method
from libs.telemetry import get_logger
from services.router import convert
from services.router.domain.binding_cache import BindingCache
from services.router.domain.registry import Verdict
from services.router.usecases.fleet import Fleet
from services.router.usecases.learning import Learning

_SERVICE = inference.DESCRIPTOR.services_by_name["InferenceService"]
WATCH_STATE = method(_SERVICE, "WatchState", inference.WatchStateRequest, inference.WatchStateResponse)
DESCRIBE_MODEL = method(_SERVICE, "DescribeModel", inference.DescribeModelRequest, inference.DescribeModelResponse)

SUBSCRIPTION_SECONDS = 86_400.0
DESCRIBE_SECONDS = 1.0
PAUSE_SECONDS_FIRST = 0.05

_log = get_logger("router")


@dataclass(frozen=True, slots=True)
class FollowRule:
    """See LivenessSettings."""

    redial_seconds: float
    pause_seconds_max: float


class WorkerFollower:
    """Follows the worker at one address for ever: `run` ends by cancellation only."""

    def __init__(
        self,
        address: str,
        dial: Callable[[str], Channel],
        fleet: Fleet,
        rule: FollowRule,
        *,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._address = address
        self._dial = dial
        self._fleet = fleet
        self._rule = rule
        self._clock = clock
        self._random = random
        self._pause = PAUSE_SECONDS_FIRST

    async def run(self) -> None:
        """Dials, watches, and after a loss dials again with growing, jittered pauses."""
        while True:
            await self._one_connection()
            await self._clock.sleep(self._pause * (0.5 + self._random()))
            self._pause = min(self._pause * 2, self._rule.pause_seconds_max)

    async def _one_connection(self) -> None:
        channel = self._dial(self._address)
        why = "the subscription ended"
        try:
            while await self._subscription(channel):
                pass
        except PlatformError as error:
            why = str(error)
        except TimeoutError:
            why = f"not a word for {self._rule.redial_seconds} s"
        finally:
            self._fleet.lost(self._address)
            await channel.close()
        level = "warning" if self._pause == PAUSE_SECONDS_FIRST else "debug"
        getattr(_log, level)("worker lost", address=self._address, why=why)

    async def _subscription(self, channel: Channel) -> bool:
        """Takes messages in; True when a message is missing and the state must be asked for anew."""
        stream = channel.stream(WATCH_STATE, inference.WatchStateRequest(), timeout=SUBSCRIPTION_SECONDS)
        heard_any = False
        try:
            while batch := await self._next(stream):
                for message in batch:
                    verdict = await self._fleet.heard_in_parts(self._address, convert.state_message(message))
                    if verdict is Verdict.RESUBSCRIBE:
                        return self._again(heard_any=heard_any)
                    heard_any = True
                    if verdict is Verdict.DESCRIBE:
                        await self._describe(channel)
        finally:
            stream.cancel()
        return False

    async def _next(self, stream: Stream[inference.WatchStateResponse]) -> list[inference.WatchStateResponse]:
        async with asyncio.timeout(self._rule.redial_seconds):
            return await stream.next_batch()

    def _again(self, *, heard_any: bool) -> bool:
        if not heard_any:  # asking again at once would spin
            why = f"{self._address} began its state without a snapshot: it speaks another version of WatchState."
            raise PlatformError(Reason.INTERNAL, why)
        _log.info("worker state has a gap, asking for a snapshot", address=self._address)
        return True

    async def _describe(self, channel: Channel) -> None:
        said = await channel.call(DESCRIBE_MODEL, inference.DescribeModelRequest(), timeout=DESCRIBE_SECONDS)
        self._fleet.described(self._address, convert.description(said))
        self._pause = PAUSE_SECONDS_FIRST
        _log.info("worker described", address=self._address, worker=said.worker, boot_id=said.boot_id, model=said.model)


async def sweep_forever(
    fleet: Fleet, cache: BindingCache, learning: Learning, period_seconds: float, clock: Clock
) -> None:
    """Lets time pass for silent and ejected workers and idle sessions until it is cancelled."""
    while True:
        await clock.sleep(period_seconds)
        fleet.sweep()
        learning.sweep()
        cache.sweep(clock.monotonic())
