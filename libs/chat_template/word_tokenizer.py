"""Many words in one call of the tokenizer, which costs a third of a call with many texts."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate, pairwise

from tokenizers import Tokenizer

from libs.chat_template.packing import pack


class WordTokenizer:
    """Encodes texts of which each but the first begins a word and each but the last ends one (space_boundaries.py)."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._byte_counts = _byte_counts(tokenizer)
        self._normalises = tokenizer.normalizer is not None

    def encode(self, texts: Sequence[str]) -> list[bytes]:
        """Packed ids of each text.

        Byte-level tokens tell how many bytes of text they are. Where normalising may change that, or the sums do not
        meet the texts' ends exactly, each text is encoded by itself.
        """
        joined = "".join(texts)
        return (None if self._normalises and not joined.isascii() else self._cut(joined, texts)) or self._each(texts)

    def _cut(self, joined: str, texts: Sequence[str]) -> list[bytes] | None:
        ids = self._ids([joined])[0]
        token_ends = list(accumulate(map(self._byte_counts.__getitem__, ids)))
        text_ends = list(accumulate(len(text) if text.isascii() else len(text.encode()) for text in texts))
        cuts = [bisect_left(token_ends, end) for end in text_ends]
        if len(ids) != cuts[-1] + 1 or [token_ends[at] for at in cuts] != text_ends:
            return None
        packed = pack(ids)
        return [packed[4 * a + 4 : 4 * b + 4] for a, b in pairwise([-1, *cuts])]

    def _each(self, texts: Sequence[str]) -> list[bytes]:
        return [pack(ids) for ids in self._ids(texts)]

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        return [e.ids for e in self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)]


def _byte_counts(tokenizer: Tokenizer) -> bytes:
    """Bytes of text by id. 0, which no sum forgives, for a token of more than 255."""
    vocab, added = tokenizer.get_vocab(), tokenizer.get_added_tokens_decoder()
    counts = bytearray(max(vocab.values(), default=-1) + 1)
    for token, i in vocab.items():
        # A character of the byte-level alphabet is one byte; added tokens are written as they are.
        size = len(token.encode()) if i in added else len(token)
        counts[i] = size if size < 256 else 0
    return bytes(counts)
