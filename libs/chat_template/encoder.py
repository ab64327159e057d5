"""Token ids of a rendered prompt, tokenising only what was not seen before."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass

from tokenizers import Tokenizer

from libs.chat_template.packing import pack
from libs.chat_template.rendered import Rendered
from libs.chat_template.space_boundaries import begins_words_at_spaces, steps_of
from libs.chat_template.words import WordCache

_ENTRY_BYTES = 250  # of the two dictionary entries and objects, beside text and ids
_Key = tuple[str, bool, str]  # tenant, whether it begins the prompt (where that matters), text


@dataclass(slots=True)
class EncodedPrompt:
    """`packed`: ids as little-endian uint32; `count` of them, `fresh_tokens` in runs that the tenant had not sent."""

    packed: bytes
    count: int
    fresh_tokens: int


class PromptEncoder:
    """Encodes run by run through a cache by (tenant, text), bounded in bytes, least recently used first to go.

    New runs are put together from words that the tenant sent before, where the tokenizer allows it (words.py).

    Equal to encoding the whole text at once as long as no text forges a control token: tokenizers never join text over
    a special token. `hit_tokens` and `miss_tokens` count up. May be called from several threads.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        cache_bytes_max: int = 64 * 1024 * 1024,
        word_bytes_max: int = 48 * 1024 * 1024,  # about 200,000 words
    ) -> None:
        as_given = tokenizer.to_str()
        later = _without_first_space(as_given)
        self._first = _text_only(as_given)
        self._later = self._first if later is as_given else _text_only(later)
        self._words: WordCache | None = None
        if self._later is self._first and begins_words_at_spaces(as_given):
            self._words = WordCache(self._first, word_bytes_max)
        self._cache: OrderedDict[_Key, bytes] = OrderedDict()
        self._cache_bytes, self._cache_bytes_max = 0, cache_bytes_max
        self._specials = {i: pack([i]) for i, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        self._lock = threading.Lock()
        self.hit_tokens = 0
        self.miss_tokens = 0

    def encode(self, rendered: Rendered, tenant: str = "") -> EncodedPrompt:
        """Ids of the prompt. Tenants share no entries: timing must not tell one what another wrote."""
        parts, new = self._seen(rendered, tenant)
        fresh = 0
        for position, key in new:
            found, missed = self._text(key)
            parts[position] = found
            fresh += missed
        packed = b"".join(parts)
        return EncodedPrompt(packed, len(packed) // 4, fresh)

    def _seen(self, rendered: Rendered, tenant: str) -> tuple[list[bytes], list[tuple[int, _Key]]]:
        """What is known of the prompt, and the places and keys of what is not."""
        parts: list[bytes] = []
        new: list[tuple[int, _Key]] = []
        get, touch, specials = self._cache.get, self._cache.move_to_end, self._specials
        hit = 0
        first = self._first is not self._later
        with self._lock:
            for text, special in rendered.runs:
                if special is not None:
                    parts.append(specials.get(special) or special.to_bytes(4, "little"))
                    first = False
                    continue
                key = (tenant, first, text)
                first = False
                found = get(key)
                if found is None:
                    new.append((len(parts), key))
                    parts.append(b"")
                    continue
                touch(key)
                hit += len(found)
                parts.append(found)
            self.hit_tokens += hit // 4
        return parts, new

    def _text(self, key: _Key) -> tuple[bytes, int]:
        with self._lock:
            found = self._cache.get(key)  # the same run may stand in a prompt twice
            if found is not None:
                self.hit_tokens += len(found) // 4
                return found, 0
        packed = self._tokenised(key)
        with self._lock:
            self.miss_tokens += len(packed) // 4
            self._keep(key, packed)
        return packed, len(packed) // 4

    def _tokenised(self, key: _Key) -> bytes:
        tenant, first, text = key
        if self._words is not None:
            return self._words.encode(text, tenant)
        tokenizer = self._first if first else self._later
        return pack(tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def _keep(self, key: _Key, packed: bytes) -> None:
        if key not in self._cache:
            self._cache_bytes += _size(key, packed)
        self._cache[key] = packed
        while self._cache_bytes > self._cache_bytes_max:
            self._cache_bytes -= _size(*self._cache.popitem(last=False))


def _size(key: _Key, packed: bytes) -> int:
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
    steps = steps_of(document.get("pre_tokenizer"))
    spaced = [s for s in steps if s.get("type") == "Metaspace" and s.get("prepend_scheme") == "first"]
    if not spaced:  # "first" was a word of the vocabulary, as it mostly is
        return tokenizer_json
    for step in spaced:
        step["prepend_scheme"] = "never"
    return json.dumps(document)
