"""The real tokenizer's tokens that the simulated engine draws from."""

from __future__ import annotations

from tokenizers import Tokenizer

from services.inference.adapters.detokenizers import token_bytes


class Vocabulary:
    """`words` are the ids to draw from: "words" = whole characters only, "all" = everything that is not special."""

    def __init__(self, tokenizer: Tokenizer, kind: str, words_max: int) -> None:
        self._tokenizer = tokenizer
        self._bytes = token_bytes(tokenizer)
        added = tokenizer.get_added_tokens_decoder()
        ids = [i for i, raw in sorted(self._bytes.items()) if i not in added and (kind == "all" or _is_word(raw))]
        self.words = ids[-words_max:] if words_max else ids
        self.size = max(self._bytes) + 1

    def encode(self, text: str) -> list[int]:
        """Ids of a text without control tokens."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def bytes_of(self, token: int) -> bytes:
        """The token's own bytes; b"" for an id nobody knows."""
        return self._bytes.get(token, b"")


def _is_word(raw: bytes) -> bool:
    try:
        return raw.decode().isprintable()
    except UnicodeDecodeError:
        return False
