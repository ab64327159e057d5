"""The bytes of each token, for logprobs: a token may be a part of a UTF-8 sequence, so text will not do."""

from __future__ import annotations

import re
from functools import cache
from typing import Protocol

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


class Tokenizer(Protocol):
    """What is needed of a Hugging Face tokenizer."""

    def convert_ids_to_tokens(self, ids: int) -> str | None:
        """The vocabulary's spelling of a token."""
        ...

    def get_vocab(self) -> dict[str, int]:
        """All spellings."""
        ...


@cache
def byte_of_character() -> dict[str, int]:
    """The byte that each character of a byte-level BPE vocabulary stands for (GPT-2's `bytes_to_unicode`, reversed)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in printable]
    table = {chr(byte): byte for byte in printable}
    return table | {chr(256 + place): byte for place, byte in enumerate(hidden)}


class TokenTable:
    """Spelling to bytes, for byte-level BPE and for SentencePiece vocabularies; remembers what it worked out."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        # Byte-level vocabularies spell a space as "Ġ", SentencePiece spells it "▁".
        self._byte_level = any(token.startswith("Ġ") for token in tokenizer.get_vocab())
        self._known: dict[int, bytes] = {}

    def bytes_of(self, token: int) -> bytes:
        """The bytes of a token id; b"" for an id the tokenizer does not know."""
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = self._spell(self._tokenizer.convert_ids_to_tokens(token) or "")
        return found

    def _spell(self, token: str) -> bytes:
        if self._byte_level:
            table = byte_of_character()
            if all(character in table for character in token):
                return bytes(table[character] for character in token)
        elif match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)])
        else:
            return token.replace("▁", " ").encode()
        return token.encode()
