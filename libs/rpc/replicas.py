"""One channel over several equal replicas of a service, for calls that do no harm when they are repeated.

All replicas are used at once. Calls with the same key go to the same one while it answers, so that what it remembers of
them (bindings, guesses about caches) is of use; a replica that is lost gets none but a trial now and then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rendezvous import rank
from libs.rpc.api import Channel, Stream
from libs.rpc.method import Method, Req, Res

# The peer could not be asked, whatever the call was about.
LOST = frozenset({Reason.WORKER_LOST, Reason.DRAINING, Reason.CANCELLED})


@dataclass(frozen=True, slots=True)
class ReplicaRule:
    """`patience_seconds`: how long one replica may take while there are others. `pause_seconds` of a lost one double
    with every failed trial, up to `pause_seconds_max`.
    """

    patience_seconds: float = 0.25
    pause_seconds: float = 0.25
    pause_seconds_max: float = 4.0


@dataclass(eq=False, slots=True)
class _Replica:
    channel: Channel
    lost_until: float = 0.0
    pause: float = 0.0


class ReplicatedChannel:
    """A `Channel` over non-empty `channels`. A single one is called as it is; `keyed` says whose turn is whose."""

    def __init__(
        self,
        channels: Sequence[Channel],
        clock: Clock,
        rule: ReplicaRule | None = None,
        *,
        random: Callable[[], float],
    ) -> None:
        """`random` gives floats in [0, 1): it spreads calls without a key, and trials of lost replicas."""
        self._replicas = [_Replica(each) for each in channels]
        self._clock = clock
        self._rule = rule or ReplicaRule()
        self._random = random

    @property
    def address(self) -> str:
        """All of them, with commas."""
        return ",".join(replica.channel.address for replica in self._replicas)

    @property
    def channels(self) -> list[Channel]:
        """One per replica, for what every replica is to hear."""
        return [replica.channel for replica in self._replicas]

    async def call(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Res:
        """See Channel; any replica."""
        return await self.keyed("", method, request, timeout=timeout, metadata=metadata)

    async def keyed(
        self,
        key: str,
        method: Method[Req, Res],
        request: Req,
        *,
        timeout: float,
        metadata: Mapping[str, str] | None = None,
    ) -> Res:
        """As `call`, by the key's own replica or, when that is lost, the next of the key's ranking; "" = any.

        Raises PlatformError: the last replica's own when none answered within `timeout` seconds.
        """
        if len(self._replicas) == 1:
            return await self._replicas[0].channel.call(method, request, timeout=timeout, metadata=metadata)
        until = self._clock.monotonic() + timeout
        ranking = self._ranking(key)
        for replica in ranking[:-1]:
            left = min(self._rule.patience_seconds, until - self._clock.monotonic())
            try:
                return await self._ask(replica, method, request, left, metadata)
            except PlatformError as error:
                passed_by = error.reason in LOST or error.reason is Reason.DEADLINE_EXCEEDED
                if not passed_by or until <= self._clock.monotonic():
                    raise
        return await self._ask(ranking[-1], method, request, until - self._clock.monotonic(), metadata)

    def stream(
        self, method: Method[Req, Res], request: Req, *, timeout: float, metadata: Mapping[str, str] | None = None
    ) -> Stream[Res]:
        """See Channel; from a replica that is not known to be lost. A stream that fails marks its replica as lost, so
        that the next one comes from another.
        """
        if len(self._replicas) == 1:
            return self._replicas[0].channel.stream(method, request, timeout=timeout, metadata=metadata)
        replica = self._ranking("")[0]
        stream = replica.channel.stream(method, request, timeout=timeout, metadata=metadata)
        return _Noticed(stream, lambda error: self._note(replica, lost=error.reason in LOST))

    async def close(self) -> None:
        """See Channel."""
        for replica in self._replicas:
            await replica.channel.close()

    async def _ask(
        self,
        replica: _Replica,
        method: Method[Req, Res],
        request: Req,
        timeout: float,
        metadata: Mapping[str, str] | None,
    ) -> Res:
        # Whoever asks a lost one tries it out for all: the others pass it by meanwhile.
        if 0.0 < replica.lost_until <= self._clock.monotonic():
            self._pause(replica)
        try:
            answer = await replica.channel.call(method, request, timeout=timeout, metadata=metadata)
        except PlatformError as error:
            self._note(replica, lost=error.reason in LOST or self._frozen(error, timeout))
            raise
        self._note(replica, lost=False)
        return answer

    def _frozen(self, error: PlatformError, timeout: float) -> bool:
        """Whether silence means the replica: a caller without time proves nothing."""
        return error.reason is Reason.DEADLINE_EXCEEDED and timeout >= self._rule.patience_seconds

    def _ranking(self, key: str) -> list[_Replica]:
        """By the key's weights, those in their pause last."""
        now = self._clock.monotonic()
        if key:
            ranked = rank(key, self._replicas, lambda each: each.channel.address)
        else:
            ranked = sorted(self._replicas, key=lambda _: self._random())
        return sorted(ranked, key=lambda each: each.lost_until > now)

    def _note(self, replica: _Replica, *, lost: bool) -> None:
        if not lost:
            replica.lost_until = replica.pause = 0.0
        elif replica.lost_until <= self._clock.monotonic():
            self._pause(replica)

    def _pause(self, replica: _Replica) -> None:
        rule = self._rule
        replica.pause = min(max(2 * replica.pause, rule.pause_seconds), rule.pause_seconds_max)
        replica.lost_until = self._clock.monotonic() + replica.pause * (0.5 + self._random() / 2)


class _Noticed:
    """A stream whose end in an error is noticed."""

    def __init__(self, stream: Stream[Any], failed: Callable[[PlatformError], None]) -> None:
        self._stream = stream
        self._failed = failed
        self.cancel = stream.cancel
        self.tap = stream.tap

    def __aiter__(self) -> _Noticed:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self._stream.__anext__()
        except PlatformError as error:
            self._failed(error)
            raise

    async def next_batch(self) -> list[Any]:
        """See Stream."""
        try:
            return await self._stream.next_batch()
        except PlatformError as error:
            self._failed(error)
            raise
