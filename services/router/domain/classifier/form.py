"""The form of a request: what can be counted in it without knowing what its words mean."""

from __future__ import annotations

import re
from math import log1p

import numpy as np

from services.router.domain.classifier.reading import Reading

# Order is that of the values `measure` returns, and of the weights in the model file.
FORM = (
    "characters",
    "word count",
    "word length",
    "numbers",
    "digit share",
    "long numbers",
    "maths signs",
    "LaTeX",
    "money or percent",
    "years",
    "question marks",
    "blanks to fill",
    "capitalised words",
    "negation in capitals",
    "options",
    "characters before options",
    "option length",
    "option length spread",
    "longest option",
    "options are numbers",
    "options repeat words",
    "all or none of the above",
    "two statements",
    "true or false",
    "passage",
    "code",
    "which of the following",
    "comparisons",
    "links between clauses",
)

_NUMBER = re.compile(r"\d+")
_CAPITALISED = re.compile(r"[a-z,] [A-Z][a-z]")
_NEGATION = re.compile(r"NOT|EXCEPT|LEAST|FALSE|UNLESS")
_MATHS = tuple(b"=^+*<>|\\\xd7\xf7\xb2")
_SPACE, _NEWLINE, _BACKSLASH, _PERCENT, _DOLLAR, _QUESTION, _UNDERSCORE = b" \n\\%$?_"
_BRACE, _SEMICOLON, _BACKQUOTE = b"{;`"
_COMPARISONS = frozenset(
    b"more less fewer than twice half double triple thrice times third quarter fifth larger smaller greater longer "
    b"older younger as".split()
)
_LINKS = frozenset(b"and or but because so since while although however therefore".split())


def measure(reading: Reading) -> list[float]:
    """One value per name of FORM, each bounded or a logarithm, so that none can run away."""
    counts = np.bincount(np.frombuffer(reading.raw, np.uint8), minlength=256).tolist()
    return (
        _signs(reading, counts)
        + _stem(reading.stem, counts)
        + _options(reading, digits=any(counts[48:58]))
        + _kind(reading, counts)
    )


def _signs(reading: Reading, counts: list[int]) -> list[float]:
    length = len(reading.raw) or 1
    words = counts[_SPACE] + counts[_NEWLINE] + 1
    digits = sum(counts[48:58])
    numbers = _NUMBER.findall(reading.text) if digits else []
    return [
        log1p(reading.characters),
        log1p(words),
        min(12.0, length / words),
        log1p(len(numbers)),
        digits / length,
        log1p(len([number for number in numbers if len(number) > 2])),
        log1p(sum([counts[sign] for sign in _MATHS])),
        log1p(counts[_BACKSLASH]),
        log1p(counts[_PERCENT] + counts[_DOLLAR]),
        log1p(len([number for number in numbers if len(number) == 4 and number[0] in "12"])),
    ]


def _stem(stem: str, counts: list[int]) -> list[float]:
    return [
        log1p(counts[_QUESTION]),
        float(counts[_UNDERSCORE] > 1),
        log1p(len(_CAPITALISED.findall(stem))),
        float(_NEGATION.search(stem) is not None),
    ]


def _options(reading: Reading, *, digits: bool) -> list[float]:
    options = reading.options
    if not options:
        return [0.0] * 8
    lengths = list(map(len, options))
    longest = max(lengths)
    numeric = sum([_NUMBER.search(option) is not None for option in options]) / len(options) if digits else 0.0
    words = [option.lower().split() for option in options]
    distinct = len(set().union(*words))
    every = options[-1].lower()
    return [
        1.0,
        log1p(len(reading.stem)),
        log1p(sum(lengths) / len(lengths)),
        (longest - min(lengths)) / (longest + 1),
        log1p(longest),
        numeric,
        1.0 - distinct / (sum(map(len, words)) or 1),
        float("of the above" in every or "of these" in every),
    ]


def _kind(reading: Reading, counts: list[int]) -> list[float]:
    text, stem = reading.text, reading.stem
    return [
        float("Statement 1" in stem or "Scenario 1" in stem),
        float("True, " in text or "False, " in text),
        float("following information" in stem or "passage" in stem),
        float(counts[_BRACE] + counts[_SEMICOLON] + counts[_BACKQUOTE] > 1 or "()" in text or "\ndef " in text),
        float("of the following" in stem),
        log1p(sum(map(_COMPARISONS.__contains__, reading.words))),
        log1p(sum(map(_LINKS.__contains__, reading.words))),
    ]
