"""Text of output tokens, one token at a time: joined, always the text of the joined tokens."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from typing import Protocol

_Utf8 = codecs.getincrementaldecoder("utf-8")


class Detokenizer(Protocol):
    """Detokenises one choice. Pure; never raises: ids outside the vocabulary are no text."""

    def feed(self, token: int) -> str:
        """Text that is certain with this token; "" while it ends inside a character."""
        ...

    def finish(self) -> str:
        """What is left of an unfinished character (U+FFFD), once, at the end."""
        ...


class ByteTable:
    """The bytes of every token of a byte-level vocabulary; `texts` holds them as text where they are whole characters.

    `hidden` tokens (special ones) are no text.
    """

    def __init__(self, token_bytes: Mapping[int, bytes], hidden: frozenset[int] = frozenset()) -> None:
        size = max(token_bytes, default=-1) + 1
        self.bytes: Sequence[bytes] = [b"" if i in hidden else token_bytes.get(i, b"") for i in range(size)]
        self.texts: Sequence[str | None] = [_text(raw) for raw in self.bytes]


def _text(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


class ByteLevelDetokenizer:
    """Looks texts up; only tokens that cut characters are decoded. Ten times as fast as the general one."""

    def __init__(self, table: ByteTable) -> None:
        self._bytes, self._texts = table.bytes, table.texts
        self._size = len(table.texts)
        # Made when the first character is cut: most answers cut none.
        self._decoder: codecs.IncrementalDecoder | None = None
        self._inside = False

    def feed(self, token: int) -> str:
        """See Detokenizer."""
        if not 0 <= token < self._size:
            return ""
        if not self._inside:
            text = self._texts[token]
            if text is not None:
                return text
        if self._decoder is None:
            self._decoder = _Utf8("replace")
        decoded = self._decoder.decode(self._bytes[token])
        self._inside = bool(self._decoder.getstate()[0])
        return decoded

    def finish(self) -> str:
        """See Detokenizer."""
        if not self._inside or self._decoder is None:
            return ""
        self._inside = False
        return self._decoder.decode(b"", final=True)
