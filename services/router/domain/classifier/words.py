"""Words to rows of a table of word pieces (WordPiece, as BERT's vocabulary has them)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# Longer runs are hashes, keys and encodings: no word.
WORD_LENGTH_MAX = 32
# Words that are remembered in pieces, some 200 bytes each: traffic has its own words, and they come again.
REMEMBERED_MAX = 4096
# Stands before a piece that goes on within a word.
INNER = b"##"


class Pieces:
    """Rows by piece, from 1 on in the order given; row 0 stands for nothing known."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        numbered = list(enumerate(pieces, 1))
        self._rows = {piece: row for row, piece in numbered if not piece.startswith(INNER)}
        self._inner = {piece[len(INNER) :]: row for row, piece in numbered if piece.startswith(INNER)}
        self._remembered: dict[bytes, list[int]] = {}
        self._longest = max(map(len, self._rows), default=0)
        self._longest_inner = max(map(len, self._inner), default=0)

    def rows(self, words: Iterable[bytes]) -> list[int]:
        """Rows of each distinct word, in order: one row for a known word, those of its longest pieces for others."""
        distinct = list(dict.fromkeys(words))
        known = list(map(self._rows.get, distinct))
        if None not in known:
            return known  # type: ignore[return-value]  # what mypy cannot see: None is not in it
        found: list[int] = []
        for word, row in zip(distinct, known, strict=True):
            if row is not None:
                found.append(row)
            elif len(word) <= WORD_LENGTH_MAX:
                found += self._remembered.get(word) or self._split(word)
        return found

    def _split(self, word: bytes) -> list[int]:
        found = self.split(word)
        if len(self._remembered) >= REMEMBERED_MAX:
            self._remembered.clear()
        self._remembered[word] = found
        return found

    def split(self, word: bytes) -> list[int]:
        """Longest piece first, from the left; nothing when some part of the word has no piece."""
        found: list[int] = []
        known, longest = self._rows.get, self._longest
        start, size = 0, len(word)
        while start < size:
            for end in range(min(size, start + longest), start, -1):
                row = known(word[start:end])
                if row is not None:
                    break
            else:
                return []
            found.append(row)
            start = end
            known, longest = self._inner.get, self._longest_inner
        return found
