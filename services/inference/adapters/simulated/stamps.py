"""Text that says when it was written, for measuring how long a delta takes from the worker to its reader."""

from __future__ import annotations

import time


class StampDetokenizers:
    """See Detokenizers: the text of each token is `@<CLOCK_MONOTONIC, ns> `; of the first also when work came in."""

    def detokenizer(self, *, keep_special_tokens: bool) -> StampDetokenizer:  # noqa: ARG002 - the protocol's name
        """See Detokenizers."""
        return StampDetokenizer()


class StampDetokenizer:
    """See Detokenizer."""

    def __init__(self) -> None:
        self._received: int | None = time.monotonic_ns()

    def feed(self, token: int) -> str:  # noqa: ARG002 - only the moment counts
        """See Detokenizer."""
        now = time.monotonic_ns()
        received, self._received = self._received, None
        return f"@{now:016d} " if received is None else f"@{now:016d} ^{received:016d} "

    def finish(self) -> str:
        """See Detokenizer."""
        return ""
