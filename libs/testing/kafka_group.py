"""A consumer group in memory: members, who has which partition, offsets. Rebalances are cooperative, as the real ones.

A partition that moves is first asked back from its owner; only when that gives it up does its next owner get it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from libs.kafka.consumer.port import Claim, Polled

# Topic and partition.
Place = tuple[str, int]


class MemoryMember:
    """What the group knows of a member, and what it has not told it yet."""

    def __init__(self) -> None:
        self.claims: dict[Place, Claim] = {}
        # Asked back: still its own.
        self.asked: set[Place] = set()
        self.news: list[Polled] = []

    def holds(self, claim: Claim) -> bool:
        """Whether the partition is this member's, under this very claim."""
        return self.claims.get((claim.topic, claim.partition)) is claim


class MemoryGroup:
    """One group. `generation` counts its changes."""

    def __init__(self) -> None:
        self.offsets: dict[Place, int] = {}
        self.members: list[MemoryMember] = []
        self.generation = 0
        self._places: list[Place] = []

    def join(self, member: MemoryMember, places: Sequence[Place]) -> None:
        """Makes it a member; new partitions of the topics are shared out too. Otherwise a repeat does nothing."""
        if member not in self.members:
            self.members.append(member)
        elif list(places) == self._places:
            return
        self._places = list(places)
        self._balance()

    def leave(self, member: MemoryMember) -> None:
        """It goes, or was not heard of in time: its partitions are lost to it."""
        if member not in self.members:
            return
        self.members.remove(member)
        if member.claims:
            member.news = [Polled(lost=list(member.claims.values()))]
        member.claims, member.asked = {}, set()
        self._balance()

    def give_up(self, member: MemoryMember, claims: Collection[Claim]) -> None:
        """The owner agrees."""
        given = [claim for claim in claims if member.holds(claim)]
        for claim in given:
            del member.claims[claim.topic, claim.partition]
            member.asked.discard((claim.topic, claim.partition))
        if given:
            self._balance()

    def _balance(self) -> None:
        self.generation += 1
        if not self.members:
            return
        least, more = divmod(len(self._places), len(self.members))
        by_size = sorted(self.members, key=lambda member: -len(member.claims))
        quotas = {id(member): least + (number < more) for number, member in enumerate(by_size)}
        for member in self.members:
            self._ask_back(member, quotas[id(member)])
        owned = {place for member in self.members for place in member.claims}
        free = [place for place in self._places if place not in owned]
        for member in self.members:
            count = max(quotas[id(member)] - len(member.claims), 0)
            self._assign(member, free[:count])
            free = free[count:]

    def _ask_back(self, member: MemoryMember, quota: int) -> None:
        kept = [place for place in member.claims if place not in member.asked]
        if over := kept[quota:]:
            member.asked |= set(over)
            member.news.append(Polled(revoked=[member.claims[place] for place in over]))

    def _assign(self, member: MemoryMember, places: Sequence[Place]) -> None:
        if places:
            new = {place: Claim(*place) for place in places}
            member.claims |= new
            member.news.append(Polled(assigned=list(new.values())))
