"""Masks in untrusted strings what could become a control token once a template has joined it with other text.

Masked are: a whole special token; a proper prefix of one at the end of a string, and a proper suffix at its start, so
that no special token can be put together from two strings, or from a string and a letter of the template. A mark holds
a random nonce, so that no text can forge a mark. Marks are taken back after the rendered text was split at the special
tokens, hence text that forges nothing is encoded as if it had never been masked.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from libs.chat_template.files import SpecialToken
from libs.chat_template.rendered import Rendered, Run

_TRIES = 100
_OPEN, _SHUT = "\ue000", "\ue001"  # private use: no tokenizer, template or JSON encoder changes them


class SpecialSplitter:
    """Knows a tokenizer's special tokens; makes maskers and splits rendered text."""

    def __init__(self, specials: Sequence[SpecialToken], random_hex: Callable[[int], str] = secrets.token_hex) -> None:
        names = sorted((s.content for s in specials), key=len, reverse=True)  # the longest match wins, as in tokenizers
        self._by_content = {s.content: s for s in specials}
        self.pattern = re.compile("|".join(map(re.escape, names)) if names else r"(?!)")
        self._split = re.compile(f"({self.pattern.pattern})")
        self.may_start = re.compile(f"[{re.escape(''.join({name[0] for name in names}))}]" if names else r"(?!)")
        self.prefixes = {name[:k] for name in names for k in range(1, len(name))}
        self.suffixes = _by_first_char({name[-k:] for name in names for k in range(1, len(name))})
        self.longest = max(map(len, names), default=0)
        self.swallows = any(s.lstrip or s.rstrip for s in specials)
        self.nonce = _without(self.pattern, random_hex)

    def ends_in_prefix(self, text: str) -> int:
        """Length of the longest proper prefix of a special token at the end of `text`."""
        return next((k for k in range(min(self.longest, len(text)), 0, -1) if text[-k:] in self.prefixes), 0)

    def split(self, text: str, masker: Masker) -> Rendered:
        """Runs of `text`, unmasked. White space that a special token swallows is dropped, as tokenizers do."""
        runs: list[Run] = []
        parts = self._split.split(text)
        for position in range(0, len(parts), 2):
            plain = self._stripped(parts, position)
            if plain:
                runs.append(Run(masker.unmask(plain)))
            if position + 1 < len(parts):
                special = self._by_content[parts[position + 1]]
                runs.append(Run(special.content, special.id))
        return Rendered(runs)

    def _stripped(self, parts: list[str], position: int) -> str:
        plain = parts[position]
        if position and self._by_content[parts[position - 1]].rstrip:
            plain = plain.lstrip()
        if position + 1 < len(parts) and self._by_content[parts[position + 1]].lstrip:
            plain = plain.rstrip()
        return plain


class Masker:
    """The marks of one rendering."""

    def __init__(self, splitter: SpecialSplitter) -> None:
        self._of = splitter
        self._masked: list[str] = []
        self._mark_pattern = f"{_OPEN}{splitter.nonce}([0-9]+){_SHUT}"

    def mask(self, text: str) -> str:
        """`text` with marks in place of what could become a control token."""
        if self._of.may_start.search(text):
            text = self._of.pattern.sub(lambda found: self._mark(found[0]), text)
            if k := self._of.ends_in_prefix(text):
                text = text[:-k] + self._mark(text[-k:])
        for suffix in self._of.suffixes.get(text[:1], ()):
            if text.startswith(suffix):
                return self._mark(suffix) + text[len(suffix) :]
        return text

    def mask_tree(self, value: Any) -> Any:
        """A JSON value with every string in it masked, keys included."""
        if isinstance(value, str):
            return self.mask(value)
        if isinstance(value, dict):
            return {self.mask(k): self.mask_tree(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.mask_tree(v) for v in value]
        return value

    def unmask(self, text: str) -> str:
        """The text that was masked."""
        if not self._masked or _OPEN not in text:
            return text
        return re.sub(self._mark_pattern, lambda found: self._masked[int(found[1])], text)

    def _mark(self, text: str) -> str:
        self._masked.append(text)
        return f"{_OPEN}{self._of.nonce}{len(self._masked) - 1}{_SHUT}"


def _without(pattern: re.Pattern[str], random_hex: Callable[[int], str]) -> str:
    """A nonce that holds no control token: text is split at those before its marks are taken back."""
    nonces = (random_hex(8) for _ in range(_TRIES))
    return next((nonce for nonce in nonces if not pattern.search(nonce)), None) or random_hex(8)


def _by_first_char(strings: set[str]) -> dict[str, list[str]]:
    """Longest first within a character."""
    found: dict[str, list[str]] = {}
    for string in sorted(strings, key=len, reverse=True):
        found.setdefault(string[0], []).append(string)
    return found
