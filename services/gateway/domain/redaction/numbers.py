"""Telephone and card numbers, and IPv4 addresses. A number that only is long (an id, a time) stays."""

from __future__ import annotations

import re
from collections.abc import Sequence

from services.gateway.domain.redaction.boundary import START, begins_here

# Seven digits or so and more, with what people write between them. Nothing is asked of what stands around: a pattern
# that failed there would begin again at every group; and one that begins with a set of characters is searched fast.
_RUN = re.compile(r"[+(\d](?:[ ().\/-]{0,3}+\d){6,}+", re.ASCII)
_GROUP = re.compile(r"\d+", re.ASCII)
_ADDRESS = re.compile(START + r"(?<!\.)\d{1,3}+(?:\.\d{1,3}+){3}(?!\.?\d)", re.ASCII)
_DATE = re.compile(r"\d\d?[./-]\d\d?[./-]\d{4}", re.ASCII)
_OCTET_MAX = 255
# First digits of cards by how many digits they have (ISO 7812: Visa, Amex, Diners, Mastercard, Maestro, …).
_CARDS = {13: "4", 14: "3", 15: "3", 16: "23456", 17: "6", 18: "6", 19: "46"}
_CARD_SHAPES = {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3)}
# Area code, exchange, line; with and without the country.
_NORTH_AMERICAN = {(3, 3, 4): 0, (1, 3, 3, 4): 1}
# ITU-T E.164: 15 digits at most.
_PHONE_DIGITS_MIN, _PHONE_DIGITS_MAX = 8, 15
_NATIONAL_DIGITS_MIN, _NATIONAL_DIGITS_MAX = 9, 13
_AREA_DIGITS = 3
# Digits of a first group that does not begin with 0: of a North American number, of a card in groups, of one in one.
_FIRST_GROUPS = frozenset({3, 4, *_CARDS})
# No number that is looked for has more.
_GROUPS_MAX = 18

Span = tuple[int, int]


def without_numbers(text: str) -> str:
    """The text with telephone numbers and card numbers (Luhn) replaced."""
    return _RUN.sub(_replaced, text)


def without_addresses(text: str) -> str:
    """The text with IPv4 addresses replaced."""
    return _ADDRESS.sub(_address, text)


def _address(match: re.Match[str]) -> str:
    return "[IP]" if all(int(part) <= _OCTET_MAX for part in match.group().split(".")) else match.group()


def _replaced(match: re.Match[str]) -> str:
    run, text = match.group(), match.string
    groups: list[Span] = [found.span() for found in _GROUP.finditer(run)]
    if text[match.end() : match.end() + 1].isalpha():
        groups.pop()  # it goes on as a word
    plus = run[0] == "+"
    parts: list[str] = []
    done, at = 0, int(not begins_here(text, match.start()))
    while at < len(groups):
        count, label = 0, ""
        if _may_begin(run, groups, at) or (plus and at == 0):
            count, label = _found(run, groups[at : at + _GROUPS_MAX], plus=plus and at == 0)
        if count:
            start, end = groups[at][0], groups[at + count - 1][1]
            parts += [run[done : _begin(run, start, end)], label]
            done = end
        at += count or 1
    return "".join([*parts, run[done:]])


def _begin(run: str, start: int, end: int) -> int:
    """Where the number begins whose first digit is at `start`: a plus belongs to it, and brackets that it closes."""
    brackets = run.count(")", start, end)
    while start and (run[start - 1] == "+" or (run[start - 1] == "(" and brackets)):
        start -= 1
        brackets -= run[start] == "("
    return start


def _may_begin(run: str, groups: Sequence[Span], at: int) -> bool:
    """Whether a number can begin with this group: a cheap no for most groups of a table of numbers."""
    start, end = groups[at]
    size, first = end - start, run[start]
    if size == 1:
        return first == "1" and at + 1 < len(groups) and groups[at + 1][1] - groups[at + 1][0] == _AREA_DIGITS
    return first == "0" or size in _FIRST_GROUPS


def _found(run: str, groups: Sequence[Span], *, plus: bool) -> tuple[int, str]:
    """How many of the groups, from the first on, are one number, and what it is; 0 = none."""
    if plus:
        count = _spanned(groups, _PHONE_DIGITS_MIN, _PHONE_DIGITS_MAX)
        if count:
            return count, "[PHONE]"
    if count := _card(run, groups):
        return count, "[CARD]"
    return _phone(run, groups), "[PHONE]"


def _spanned(groups: Sequence[Span], least: int, most: int) -> int:
    """How many groups have at most `most` digits together; 0 when that is less than `least`."""
    digits = count = 0
    for start, end in groups:
        if digits + end - start > most:
            break
        digits += end - start
        count += 1
    return count if digits >= least else 0


def _shape(groups: Sequence[Span], count: int) -> tuple[int, ...]:
    return tuple([end - start for start, end in groups[:count]])


def _card(run: str, groups: Sequence[Span]) -> int:
    if _is_card(run[slice(*groups[0])]):
        return 1
    for count in (3, 4, 5):
        if len(groups) >= count and _shape(groups, count) in _CARD_SHAPES:
            written = run[groups[0][0] : groups[count - 1][1]]
            separators = {character for character in written if not character.isdigit()}
            if separators in ({" "}, {"-"}) and _is_card(re.sub(r"\D", "", written)):
                return count
    return 0


def _is_card(digits: str) -> bool:
    return digits[0] in _CARDS.get(len(digits), "") and _luhn(digits)


def _luhn(digits: str) -> bool:
    total = sum(int(digit) for digit in digits[-1::-2])
    return (total + sum(sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])) % 10 == 0


def _phone(run: str, groups: Sequence[Span]) -> int:
    start, end = groups[0]
    first = run[start:end]
    if first.startswith("00"):
        return _international(run, groups)
    if first.startswith("0") and end - start > 1 and not _DATE.match(run, start):
        count = _spanned(groups, _NATIONAL_DIGITS_MIN, _NATIONAL_DIGITS_MAX)
        return count if count > 1 else 0
    for count in (3, 4):
        area = _NORTH_AMERICAN.get(_shape(groups, count), -1)
        if area >= 0 and run[groups[area][0]] not in "01" and (area == 0 or first == "1"):
            return count
    return 0


def _international(run: str, groups: Sequence[Span]) -> int:
    count = _spanned(groups, _PHONE_DIGITS_MIN + 2, _PHONE_DIGITS_MAX + 2)
    digits = "".join(run[start:end] for start, end in groups[:count])
    return count if digits[2:3] not in ("", "0") else 0
