"""Who gets which partition: the cooperative rule, and a look at whether all of them were given.

A partition that moves is left out of one generation, so that its old owner can let go of it; that owner then asks for
the next generation, in which the new one gets it. An owner that dies or loses its membership between the two never
asks, and nobody misses what it let go of. The leader, which made the assignment, asks instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

# What a move usually takes at most. Asking sooner than an owner has let go costs one more join and nothing else.
MOVE_SECONDS = 5.0


class WholeAssignor(CooperativeStickyAssignor):  # type: ignore[misc]  # the client is untyped
    """One per client. Belongs to the client's own thread, but for `overdue`, which only looks.

    `owned` says which partitions the client has.
    """

    # What it was given last; None before that.
    member_assignment: Any

    def __init__(self, owned: Callable[[], Collection[Any]], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._owned, self._clock = owned, clock
        self._made = False
        self._left_out_at: float | None = None

    def metadata(self, topics: Any) -> Any:
        """What this member tells the leader: that it has what it has.

        The client itself goes on to claim what it was given last, even when it lost that with its membership. The
        leader then keeps it from the others until this member lets go, which has nothing to let go of and never asks.
        """
        if self.member_assignment is not None:
            owned = set(self._owned())
            self.member_assignment = [each for each in self.member_assignment if each in owned]
        return super().metadata(topics)

    def assign(self, cluster: Any, members: Sequence[Any]) -> Any:
        """As the leader: the assignment, noting whether it leaves something out."""
        given = super().assign(cluster, members)
        topics = {topic for member in members for topic in member.metadata.topics}
        wanted = sum(len(cluster.partitions_for_topic(topic) or ()) for topic in topics)
        count = sum(len(topic[1]) for each in given.values() for topic in each.assigned_partitions)
        self._made, self._left_out_at = True, self._clock() if count < wanted else None
        return given

    def on_assignment(self, assignment: Any, generation: int) -> None:
        """A generation that somebody else has made is theirs to look after."""
        super().on_assignment(assignment, generation)
        if not self._made:
            self._left_out_at = None
        self._made = False

    def overdue(self) -> bool:
        """Whether something has been left out for longer than a move takes. True once per such time."""
        left_out_at, now = self._left_out_at, self._clock()
        if left_out_at is None or now - left_out_at < MOVE_SECONDS:
            return False
        self._left_out_at = now
        return True
