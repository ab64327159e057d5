"""How a member waits while nothing comes: seldom awake, and late for nothing."""

from __future__ import annotations

import time
from typing import Any

from libs.kafka.consumer.handover import Handover, Request

# How long the brokers hold a fetch for which they have nothing. They answer as soon as they have something, but what is
# resumed meanwhile is not asked for before, so this is short where anything goes on.
FETCH_MS = 50
# After so long without messages it may be long: each fetch and its poll cost a millisecond of CPU. Tansu looks for
# messages from time to time only, and less often in a long fetch, so the first one after a lull is late there.
LULL_SECONDS = 1.0
LULL_FETCH_MS = 250
# How often it is seen to that the group wants something (a partition back).
LOOK_SECONDS = 0.1


class Lull:
    """For one client. Belongs to its thread."""

    def __init__(self, client: Any, handover: Handover) -> None:
        self._client, self._handover = client, handover
        # Below the client's limit for an answer.
        self._fetch_ms = min(LULL_FETCH_MS, client.config["request_timeout_ms"] // 2)
        self._fetches: set[Any] = set()
        self._last = time.monotonic()

    def end(self) -> None:
        """Messages came."""
        self._last = time.monotonic()

    def begun(self) -> bool:
        """Whether nothing has come for a while, and nothing is under way but fetches."""
        client = self._client
        begun = (
            time.monotonic() - self._last > LULL_SECONDS
            and not client.paused()
            and not client._coordinator.coordinator_unknown()
            and not client._coordinator.need_rejoin()
            and client._subscription.has_all_fetch_positions()
        )
        client._fetcher.config["fetch_max_wait_ms"] = self._fetch_ms if begun else FETCH_MS
        return begun

    def wait(self) -> Request:
        """The next request; None when a fetch was answered, the group wants something, or nothing came for a while."""
        end = time.monotonic() + LULL_FETCH_MS / 1000
        fetches = self._watched()
        while (left := end - time.monotonic()) > 0 and not self._client._coordinator.need_rejoin():
            if any(fetch.is_done for fetch in fetches):
                return None
            if (request := self._handover.request(min(left, LOOK_SECONDS))) is not None:
                return request
        return None

    def _watched(self) -> set[Any]:
        """The fetches since the last poll, each of which wakes the thread when it is answered."""
        fetches = set(self._client._fetcher._fetch_futures)
        for fetch in fetches - self._fetches:
            fetch.add_both(lambda _: self._handover.requests.put(None))
        self._fetches = fetches
        return fetches
