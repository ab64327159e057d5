"""Finds where a JSON value ends in text that is still being written."""

from __future__ import annotations

_OPENING = "{["
_CLOSING = "}]"


class ValueEnd:
    """Fed the text of one JSON object or array from its first bracket on; says where it closes.

    It follows brackets and strings only, which is enough for the end; it does not validate.
    """

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def feed(self, text: str) -> int | None:
        """How many characters of `text` belong to the value, once its last bracket is in it; None until then."""
        for place, character in enumerate(text):
            if self._in_string:
                self._string(character)
            elif character == '"':
                self._in_string = True
            elif character in _OPENING:
                self._depth += 1
            elif character in _CLOSING:
                self._depth -= 1
                if self._depth <= 0:
                    return place + 1
        return None

    def _string(self, character: str) -> None:
        if self._escaped:
            self._escaped = False
        elif character == "\\":
            self._escaped = True
        elif character == '"':
            self._in_string = False
