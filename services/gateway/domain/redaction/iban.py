"""International bank account numbers (ISO 13616): the country's length, and 1 modulo 97."""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from itertools import accumulate

from services.gateway.domain.redaction.boundary import begins_here

_HEAD = re.compile(r"[A-Z]{2}\d\d(?=[ ]?[A-Z0-9])", re.ASCII)
_TAIL = re.compile(r"(?: ?[A-Z0-9]){11,30}+", re.ASCII)
_DIGITS = {ord(character): str(int(character, 36)) for character in string.digits + string.ascii_uppercase}
# Characters in all, by country (the registry's).
_LENGTHS = {
    15: "NO", 16: "BE", 18: "DK FO FI GL NL SD", 19: "MK SI", 20: "AT BA EE KZ LT LU MN XK", 21: "HR LV LI CH",
    22: "BH BG CR GE DE IE ME RS GB VA", 23: "AE GI IQ IL OM SO TL", 24: "AD CZ DZ MD PK RO SA SK ES SE TN VG",
    25: "AO CV LY MZ PT ST", 26: "IS TR", 27: "BF BI BJ CG CI CM DJ EG FR GA GR IT MC MG MR ML SM SN",
    28: "AL AZ BY CY DO GT HU LB NE NI PL SV TG", 29: "BR PS QA UA", 30: "JO KW MU YE", 31: "MT SC", 32: "LC", 33: "RU",
}  # fmt: skip
_LENGTH = {country: length for length, countries in _LENGTHS.items() for country in countries.split()}


def without_ibans(text: str) -> str:
    """The text with every valid IBAN replaced, written in one or in groups."""
    head = _HEAD.search(text)
    if head is None:
        return text
    parts, done, at = [], 0, 0
    while head is not None:
        end = _end(text, head.start()) if begins_here(text, head.start()) else 0
        if end:
            parts += [text[done : head.start()], "[IBAN]"]
            done = end
        at = end or head.end()
        head = _HEAD.search(text, at)
    return "".join([*parts, text[done:]])


def _end(text: str, start: int) -> int:
    """Where the IBAN that begins at `start` ends; 0 = it is none."""
    length = _LENGTH.get(text[start : start + 2], 0)
    tail = _TAIL.match(text, start + 4) if length else None
    if tail is None:
        return 0
    written = text[start : tail.end()]
    iban = written.replace(" ", "")[:length]
    if len(iban) < length or not _valid(iban):
        return 0
    end = start + next(at for at, count in enumerate(_counted(written), start=1) if count == length)
    return 0 if text[end : end + 1].isalnum() else end


def _counted(written: str) -> Iterator[int]:
    """How many characters other than spaces there are up to each place."""
    return accumulate(character != " " for character in written)


def _valid(iban: str) -> bool:
    return int((iban[4:] + iban[:4]).translate(_DIGITS)) % 97 == 1
