"""API keys, tokens and private keys: recognised by the forms that their issuers give them."""

from __future__ import annotations

import re
from typing import NamedTuple

from services.gateway.domain.redaction.boundary import START


class _Form(NamedTuple):
    """Texts without `hint` are not searched: finding a word is a hundred times as fast as a pattern."""

    hint: str
    pattern: re.Pattern[str]
    label: str


def _form(hint: str, pattern: str, label: str = "[API_KEY]") -> _Form:
    return _Form(hint, re.compile(START + pattern, re.ASCII), label)


_FORMS = (
    # JSON Web Tokens: the first part is an object in base64url, which always begins so.
    _form("eyJ", r"(?<![_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{8,}+(?:\.[A-Za-z0-9_-]*+)?+", "[JWT]"),
    # OpenAI, Anthropic, LiteLLM, and our own.
    _form("sk-", r"sk-[A-Za-z0-9_-]{16,}+"),
    _form("AKIA", r"AKIA[0-9A-Z]{16}(?![0-9A-Za-z])"),
    _form("ASIA", r"ASIA[0-9A-Z]{16}(?![0-9A-Za-z])"),
    *(_form(f"gh{kind}_", rf"gh{kind}_[A-Za-z0-9]{{30,}}+") for kind in "pousr"),
    _form("github_pat_", r"github_pat_[A-Za-z0-9_]{22,}+"),
    _form("glpat-", r"glpat-[A-Za-z0-9_-]{20,}+"),
    _form("xox", r"xox[abeprs]-[A-Za-z0-9-]{10,}+"),
    _form("AIza", r"AIza[A-Za-z0-9_-]{35}"),
    _form("hf_", r"hf_[A-Za-z0-9]{30,}+"),
    _form("npm_", r"npm_[A-Za-z0-9]{36,}+"),
    _form("pypi-", r"pypi-[A-Za-z0-9_-]{50,}+"),
    _form("k_live_", r"[srp]k_live_[A-Za-z0-9]{16,}+"),
    _form("k_test_", r"[srp]k_test_[A-Za-z0-9]{16,}+"),
    _form("earer ", r"[Bb]earer [A-Za-z0-9._~+/-]{20,}+=*+"),
)
_BEGIN = re.compile(r"-----BEGIN [A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?-----", re.ASCII)
_END = re.compile(r"-----END [A-Z0-9 ]{0,40}?PRIVATE KEY(?: BLOCK)?-----", re.ASCII)
# What a key has after its first line when its last one is missing: lines of base64, broken or escaped breaks.
_BODY = re.compile(r"(?:(?:\s|\\[nr])*+[A-Za-z0-9+/=]{16,}+)*+", re.ASCII)


def without_keys(text: str) -> str:
    """The text with every key of a known form replaced."""
    for hint, pattern, label in _FORMS:
        if hint in text:
            text = pattern.sub(label, text)
    return text


def without_blocks(text: str) -> str:
    """The text with PEM and PGP private keys replaced, those that were cut off too."""
    begin = _BEGIN.search(text)
    if begin is None:
        return text
    parts, done = [], 0
    end: re.Match[str] | None = None
    whole = True
    while begin is not None:
        if whole and (end is None or end.start() < begin.end()):
            end = _END.search(text, begin.end())
            whole = end is not None
        parts += [text[done : begin.start()], "[PRIVATE_KEY]"]
        done = _end_of(text, begin, end)
        begin = _BEGIN.search(text, done)
    return "".join([*parts, text[done:]])


def _end_of(text: str, begin: re.Match[str], end: re.Match[str] | None) -> int:
    if end is not None and end.start() >= begin.end():
        return end.end()
    body = _BODY.match(text, begin.end())
    return body.end() if body else begin.end()
