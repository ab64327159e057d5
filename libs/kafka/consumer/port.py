"""Where a consumer's messages come from: the port between the consumer and a client of the brokers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from libs.kafka.handling import Delivery


@dataclass(eq=False, frozen=True, slots=True)
class Claim:
    """A partition for as long as it is this member's without a break. Two claims of one partition are never equal."""

    topic: str
    partition: int


class Fetched(NamedTuple):
    """Messages of one partition, in order. `size_bytes` is that of their keys and values."""

    claim: Claim
    messages: Sequence[Delivery]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Polled:
    """What happened since the last poll. The pieces apply in the order lost, assigned, fetched, revoked.

    `lost` belongs to somebody else already: commits of it are refused. `revoked` is given up at the next poll. `ends`
    are the offsets behind the last message, as far as they are known.
    """

    lost: Sequence[Claim] = ()
    assigned: Sequence[Claim] = ()
    fetched: Sequence[Fetched] = ()
    revoked: Sequence[Claim] = ()
    ends: Mapping[Claim, int] = field(default_factory=dict)


class Source(Protocol):
    """A member of a consumer group. Used by one task at a time, but for `commit` and `flow`, which come in between."""

    async def poll(self) -> Polled:
        """Waits for news. Cancelling it loses nothing.

        Joins the group at the first call. After a poll that named `revoked` the partitions stay this member's until the
        next call, for the grace of the settings at most: finish, commit, poll. Raises KafkaError while the brokers
        cannot be reached or refuse; a repeat goes on where it was.
        """
        ...

    async def commit(self, offsets: Mapping[Claim, int]) -> Collection[Claim]:
        """Stores for the group that everything before these offsets is done; returns the claims that it was refused
        for, as they are over. A repeat does nothing. Raises KafkaError; then it may have happened all the same.
        """
        ...

    def flow(self, claims: Collection[Claim], *, paused: bool) -> None:
        """Holds back messages of these claims, or lets them come again. The membership is not touched.

        Messages that are on their way still come. Never blocks or raises; claims that are over are left out.
        """
        ...

    async def close(self) -> None:
        """Leaves the group, so that others take over at once, and ends within its limit. A repeat does nothing."""
        ...
