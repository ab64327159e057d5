"""The redactor: patterns and checksums, each in time linear in the text.

A pattern scans every run of characters once: quantifiers are possessive and a match begins only where a run does, so
that no text makes it go back. Values keep to one line, private keys alone span several; therefore long texts are dealt
with in pieces that end where no value can be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.gateway.domain.redaction.iban import without_ibans
from services.gateway.domain.redaction.numbers import without_addresses, without_numbers
from services.gateway.domain.redaction.secrets import without_blocks, without_keys

# Under a millisecond of work for prose and code.
PIECE_CHARACTERS = 8192
# A line break, or a space between two small letters: no value that is looked for has these within it.
_CUT = re.compile(r"\n|(?<=[a-z]) (?=[a-z])")
# A text that has neither for so many pieces (packed data, tables of numbers on one line) is cut anywhere: then a value
# at the cut may stay.
_UNCUT_PIECES_MAX = 2
# Domain and all; a dot at the end is the sentence's.
_EMAIL = re.compile(r"(?<![\w.%+-])[\w.%+-]++@[\w-]++(?:\.[\w-]++)++")


class PatternRedactor:
    """See ports.records.Redactor. Puts [EMAIL], [PHONE], [CARD], [IBAN], [API_KEY], [JWT], [PRIVATE_KEY] in place.

    With `addresses` IPv4 addresses become [IP]; off, because logs that agents read are full of harmless ones.
    """

    def __init__(self, *, addresses: bool = False, piece_characters: int = PIECE_CHARACTERS) -> None:
        self._addresses, self._piece = addresses, piece_characters

    def redact(self, text: str) -> Iterator[str]:
        """See ports.records.Redactor."""
        text = without_blocks(text)
        start = 0
        while start < len(text):
            end = self._end(text, start)
            yield self._piece_redacted(text[start:end])
            start = end

    def _end(self, text: str, start: int) -> int:
        if len(text) - start <= self._piece:
            return len(text)
        last = start + self._piece * _UNCUT_PIECES_MAX
        cut = _CUT.search(text, start + self._piece, last)
        return cut.end() if cut else min(last, len(text))

    def _piece_redacted(self, piece: str) -> str:
        piece = without_keys(piece)
        if "@" in piece:
            piece = _EMAIL.sub(_email, piece)
        piece = without_ibans(piece)
        if self._addresses:
            piece = without_addresses(piece)
        return without_numbers(piece)


def _email(match: re.Match[str]) -> str:
    # "package@1.2.3" is a version.
    return match.group() if match.group().rsplit(".", 1)[1].isdigit() else "[EMAIL]"
