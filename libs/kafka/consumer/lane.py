"""One claimed partition in the consumer: what was taken, what is done, how far it may be committed."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from libs.kafka.consumer.port import Claim
from libs.kafka.handling import Delivery


class Lane:
    """Messages end in any order, offsets are committed in theirs: up to the first message that is not done."""

    __slots__ = ("_done", "_taken", "_upto", "claim", "committed", "count", "end", "gone", "paused", "size_bytes")

    def __init__(self, claim: Claim) -> None:
        self.claim = claim
        # Messages and bytes that were taken and are not done.
        self.count, self.size_bytes = 0, 0
        self.paused = False
        # Taken away: nothing of it is begun or committed any more.
        self.gone = False
        # The offset behind the last message of the topic, as far as it is known.
        self.end = 0
        # What the group knows.
        self.committed: int | None = None
        self._taken: deque[int] = deque()
        self._done: set[int] = set()
        self._upto: int | None = None

    @property
    def ready(self) -> int | None:
        """The offset that may be committed, None = none beyond what is."""
        return self._upto if self._upto != self.committed else None

    @property
    def lag(self) -> int:
        """Messages of the partition that are not done, 0 as long as nothing was seen of it."""
        begin = self._taken[0] if self._taken else self._upto
        return max(self.end - begin, 0) if begin is not None else 0

    @property
    def ahead(self) -> int:
        """Messages that cannot be committed yet, those among them that are done."""
        return len(self._taken)

    def take(self, messages: Sequence[Delivery], size_bytes: int) -> None:
        """Counts messages that came; in order."""
        self.count += len(messages)
        self.size_bytes += size_bytes
        self._taken.extend([message.offset for message in messages])

    def finish(self, message: Delivery) -> None:
        """A message is done. Offsets may have gaps: what was compacted away, markers of transactions."""
        taken, done = self._taken, self._done
        self.count -= 1
        self.size_bytes -= len(message.key) + len(message.value)
        done.add(message.offset)
        while taken and taken[0] in done:
            offset = taken.popleft()
            done.remove(offset)
            self._upto = offset + 1

    def finish_first(self, messages: Sequence[Delivery], size_bytes: int) -> None:
        """The first messages of those taken are done, all in one."""
        self.count -= len(messages)
        self.size_bytes -= size_bytes
        self._upto = messages[-1].offset + 1
        if not self._done and len(self._taken) == len(messages):
            self._taken.clear()
            return
        for _ in messages:
            self._taken.popleft()
