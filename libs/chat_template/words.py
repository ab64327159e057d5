"""Token ids of words seen before, for tokenizers that begin a word at every space (space_boundaries.py)."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from itertools import islice

from tokenizers import Tokenizer

from libs.chat_template.word_tokenizer import WordTokenizer

_WORD_CHARS_MAX = 64  # longer ones are links and data, which do not come again in other texts
_ENTRY_BYTES = 200  # of a dictionary entry and its two objects, beside text and ids
_TENANT_SHARE = 4  # one tenant's words take this part of the whole at most
# \s holds all that any regex engine takes for white space, but for what older versions of Unicode counted too.
_NO_SPACE = r"[^\s\u180e\u200b\ufeff]"
_BEGINNING = re.compile(rf" (?<={_NO_SPACE} )")
_ENDS_IN_SPACE = re.compile(rf"(?<!{_NO_SPACE})\Z")


class _Words:
    """One tenant's. `heads`: by what a text begins with; `later`: by what stands behind a space.

    Their keys end in no white space: only then does the next space, at which the reader cut, begin a word.
    """

    def __init__(self) -> None:
        self.heads: dict[str, bytes] = {"": b""}  # a text may begin with the space of its first word
        self.later: dict[str, bytes] = {}
        self.bytes = 0


class WordCache:
    """Encodes texts word by word, asking the tokenizer only for words that the tenant did not send before.

    Bounded in bytes: a tenant that fills its share starts anew, then the tenant that was away longest goes, whole. May
    be called from several threads: dictionaries only grow, or are dropped whole.
    """

    def __init__(self, tokenizer: Tokenizer, bytes_max: int) -> None:
        self._tokenizer, self._bytes_max = WordTokenizer(tokenizer), bytes_max
        self._tenants: OrderedDict[str, _Words] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def encode(self, text: str, tenant: str) -> bytes:
        """Packed ids of `text`. Tenants share no words: timing must not tell one what another wrote."""
        words = self._words(tenant)
        parts = text.split(" ")
        try:
            return words.heads[parts[0]] + b"".join(map(words.later.__getitem__, islice(parts, 1, None)))
        except KeyError:
            return self._with_new(stretches(text), words, tenant)

    def _words(self, tenant: str) -> _Words:
        with self._lock:
            words = self._tenants.get(tenant)
            if words is None:
                words = self._tenants[tenant] = _Words()
                self._bytes += _ENTRY_BYTES
            self._tenants.move_to_end(tenant)
            return words

    def _with_new(self, found: list[str], words: _Words, tenant: str) -> bytes:
        head, *rest = found
        new_heads = [] if head in words.heads else [head]
        new_later = [word for word in dict.fromkeys(rest) if word not in words.later]
        if not new_heads and not new_later:
            return words.heads[head] + b"".join(map(words.later.__getitem__, rest))
        encoded = self._tokenizer.encode(new_heads + [" " + word for word in new_later])
        heads = dict(zip(new_heads, encoded, strict=False))
        later = dict(zip(new_later, encoded[len(new_heads) :], strict=True))
        first = heads[head] if new_heads else words.heads[head]
        packed = first + b"".join([later[word] if word in later else words.later[word] for word in rest])
        if _ENDS_IN_SPACE.search(found[-1]):
            (later if rest else heads).pop(found[-1], None)
        self._keep(words, tenant, heads, later)
        return packed

    def _keep(self, words: _Words, tenant: str, heads: dict[str, bytes], later: dict[str, bytes]) -> None:
        size = 0
        with self._lock:
            if self._tenants.get(tenant) is not words:
                return  # dropped meanwhile
            for kept, new in ((words.heads, heads), (words.later, later)):
                for word, packed in new.items():
                    if len(word) <= _WORD_CHARS_MAX and word not in kept:
                        kept[word] = packed
                        size += _ENTRY_BYTES + 4 * len(word) + len(packed)
            words.bytes += size
            self._bytes += size
            if words.bytes > self._bytes_max // _TENANT_SHARE:
                self._drop(tenant)
            while self._bytes > self._bytes_max:
                self._drop(next(iter(self._tenants)))

    def _drop(self, tenant: str) -> None:
        self._bytes -= self._tenants.pop(tenant).bytes + _ENTRY_BYTES


def stretches(text: str) -> list[str]:
    """`text` cut at the spaces that begin a word for certain, those spaces left out.

    These are the first character and spaces behind what is no white space: all stretches but the last end in none.
    """
    found = _BEGINNING.split(text)
    return ["", found[0][1:], *found[1:]] if text.startswith(" ") else found
