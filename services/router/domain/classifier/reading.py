"""A request read once: its bytes, its words, its stem and its options, for all that measures it."""

from __future__ import annotations

import re
from typing import NamedTuple

_OPTION = re.compile(r"\n\(?([A-J])[.):][ \t]?([^\n]*)")
# Characters beyond Latin-1 become "?" there; of those the signs of maths are kept apart as "|", quotes as quotes.
_KEPT = str.maketrans(
    dict.fromkeys("√≤≥∫∑πθ≠∈→∞\u2212λμ\u03c3Δ", "|") | dict.fromkeys("“”", '"') | dict.fromkeys("\u2018\u2019", "'")
)
# Bytes to words: ASCII letters in lower case and digits; all else is space.
_LETTERS = bytes(ord(chr(byte).lower()) if byte < 128 and chr(byte).isalnum() else 32 for byte in range(256))


# Of longer texts the beginning and the end are read: what a judgement costs is bounded, and these say what is wanted.
HEAD, TAIL = 3072, 1024


class Reading(NamedTuple):
    """`raw` is Latin-1, `words` its runs of ASCII letters and digits in lower case; `options` may be empty."""

    text: str
    raw: bytes
    words: list[bytes]
    stem: str
    options: list[str]
    # Of the whole text, the part that is not read included.
    characters: int


def read(text: str, unseen: int = 0) -> Reading:
    """Linear in the text; `unseen` characters were cut out of it before. Some microseconds for 300 characters."""
    characters = len(text) + unseen
    if len(text) > HEAD + TAIL:
        text = text[:HEAD] + text[-TAIL:]
    raw = (text if text.isascii() else text.translate(_KEPT)).encode("latin-1", "replace")
    stem, options = split_options(text)
    return Reading(text, raw, raw.translate(_LETTERS).split(), stem, options, characters)


def split_options(text: str) -> tuple[str, list[str]]:
    """Stem and lettered options, each on a line of its own from A on; anything else is all stem."""
    if "\nA" not in text and "\n(A" not in text:
        return text, []
    found = list(_OPTION.finditer(text))
    if len(found) < 2 or found[0][1] != "A":
        return text, []
    return text[: found[0].start()], [match[2] for match in found]
