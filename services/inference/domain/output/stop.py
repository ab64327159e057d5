"""Stop strings: found wherever the text is cut, and no part of one is ever let out."""

from __future__ import annotations

from collections.abc import Sequence


class StopMatcher:
    """Holds back text that may be the beginning of a stop string.

    The match that is complete first wins (then the longer one), so the result does not depend on how the text is cut.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(dict.fromkeys(s for s in stops if s))
        self._beginnings = {stop[:size] for stop in self._stops for size in range(1, len(stop))}
        self._first_chars = frozenset(stop[0] for stop in self._stops)
        self._longest = max(map(len, self._stops), default=0)
        self._held = ""
        self.matched: str | None = None

    def feed(self, text: str) -> str:
        """Text that may go out; after a match, that is what stood before it, and nothing from then on."""
        if self.matched is not None:
            return ""
        text = self._held + text
        found = self._first(text)
        if found is not None:
            start, self.matched = found
            self._held = ""
            return text[:start]
        keep = self._possible(text)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def release(self) -> str:
        """What was held back, when the output ends or may not stop yet."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> tuple[int, str] | None:
        ends = [(at + len(stop), at, stop) for stop in self._stops if (at := text.find(stop)) >= 0]
        return min(ends)[1:] if ends else None

    def _possible(self, text: str) -> int:
        """How much of the end may be the beginning of a stop string."""
        size = min(self._longest - 1, len(text))
        if size < 1 or self._first_chars.isdisjoint(text[-size:]):
            return 0
        while size and text[-size:] not in self._beginnings:
            size -= 1
        return size
