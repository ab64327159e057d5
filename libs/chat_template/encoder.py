"""Token ids of a rendered prompt, tokenising only what was not seen before."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from libs.chat_template.packing import pack
from libs.chat_template.rendered import Rendered, Run

_ENTRY_BYTES = 250  # of the two dictionary entries and objects, beside text and ids


@dataclass(frozen=True, slots=True)
class EncodedPrompt:
    """`packed`: ids as little-endian uint32; `count` of them; `fresh_tokens` were tokenised for this prompt."""

    packed: bytes
    count: int
    fresh_tokens: int


class PromptEncoder:
    """Encodes run by run through a cache by (tenant, text), bounded in bytes, least recently used first to go.

    Equal to encoding the whole text at once as long as no text forges a control token: tokenizers never join text over
    a special token. `hit_tokens` and `miss_tokens` count up. May be called from several threads.
    """

    def __init__(self, tokenizer: Tokenizer, cache_bytes_max: int = 64 * 1024 * 1024) -> None:
        as_given = tokenizer.to_str()
        later = _without_first_space(as_given)
        self._first = _text_only(as_given)
        self._later = self._first if later is as_given else _text_only(later)
        self._cache: OrderedDict[tuple[str, bool, str], bytes] = OrderedDict()
        self._cache_bytes, self._cache_bytes_max = 0, cache_bytes_max
        self._lock = threading.Lock()
        self.hit_tokens = 0
        self.miss_tokens = 0

    def encode(self, rendered: Rendered, tenant: str = "") -> EncodedPrompt:
        """Ids of the prompt. Tenants share no entries: timing must not tell one what another wrote."""
        parts: list[bytes] = []
        fresh = 0
        for position, run in enumerate(rendered.runs):
            if run.special is not None:
                parts.append(run.special.to_bytes(4, "little"))
                continue
            packed, missed = self._text(run, tenant, first=position == 0)
            parts.append(packed)
            fresh += missed
        packed = b"".join(parts)
        return EncodedPrompt(packed, len(packed) // 4, fresh)

    def _text(self, run: Run, tenant: str, *, first: bool) -> tuple[bytes, int]:
        key = (tenant, first, run.text)
        with self._lock:
            found = self._cache.get(key)
            if found is not None:
                self._cache.move_to_end(key)
                self.hit_tokens += len(found) // 4
                return found, 0
        tokenizer = self._first if first else self._later
        packed = pack(tokenizer.encode_batch_fast([run.text], add_special_tokens=False)[0].ids)
        with self._lock:
            self.miss_tokens += len(packed) // 4
            self._keep(key, packed)
        return packed, len(packed) // 4

    def _keep(self, key: tuple[str, bool, str], packed: bytes) -> None:
        if key not in self._cache:
            self._cache_bytes += _size(key, packed)
        self._cache[key] = packed
        while self._cache_bytes > self._cache_bytes_max:
            self._cache_bytes -= _size(*self._cache.popitem(last=False))


def _size(key: tuple[str, bool, str], packed: bytes) -> int:
    # Four bytes a character is the most CPython takes.
    return 4 * len(key[2]) + len(packed) + _ENTRY_BYTES


def _text_only(tokenizer_json: str) -> Tokenizer:
    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return tokenizer


def _without_first_space(tokenizer_json: str) -> str:
    """SentencePiece-like tokenizers put a space before the first word of a text only: not before later runs."""
    if '"first"' not in tokenizer_json:
        return tokenizer_json
    document = json.loads(tokenizer_json)
    steps = _steps(document.get("pre_tokenizer"))
    spaced = [s for s in steps if s.get("type") == "Metaspace" and s.get("prepend_scheme") == "first"]
    if not spaced:  # "first" was a word of the vocabulary, as it mostly is
        return tokenizer_json
    for step in spaced:
        step["prepend_scheme"] = "never"
    return json.dumps(document)


def _steps(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    if not pre_tokenizer:
        return []
    return [step for inner in pre_tokenizer.get("pretokenizers", []) for step in _steps(inner)] or [pre_tokenizer]
