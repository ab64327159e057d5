"""Detokenisers for a model's tokenizer: the table for byte-level vocabularies, tokenizers' own stream for others."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders
from tokenizers.decoders import DecodeStream

from services.inference.domain.output.detokenizer import ByteLevelDetokenizer, ByteTable, Detokenizer


class TokenizerDetokenizers:
    """See Detokenizers. Measured per token: table 0.1 µs, stream 0.7 µs."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._all: ByteTable | None = None
        self._plain: ByteTable | None = None
        if is_byte_level(tokenizer):
            raw = token_bytes(tokenizer)
            special = frozenset(i for i, token in tokenizer.get_added_tokens_decoder().items() if token.special)
            self._all, self._plain = ByteTable(raw), ByteTable(raw, special)

    def detokenizer(self, *, keep_special_tokens: bool) -> Detokenizer:
        """See Detokenizers."""
        table = self._all if keep_special_tokens else self._plain
        if table is not None:
            return ByteLevelDetokenizer(table)
        return StreamDetokenizer(self._tokenizer, skip_special_tokens=not keep_special_tokens)


class StreamDetokenizer:
    """See Detokenizer; for SentencePiece-like vocabularies, whose text depends on neighbours."""

    def __init__(self, tokenizer: Tokenizer, *, skip_special_tokens: bool) -> None:
        self._tokenizer, self._skip = tokenizer, skip_special_tokens
        self._stream = DecodeStream(skip_special_tokens=skip_special_tokens)
        self._ids: list[int] = []
        self._emitted = 0

    def feed(self, token: int) -> str:
        """See Detokenizer."""
        self._ids.append(token)
        text = self._stream.step(self._tokenizer, token) or ""
        self._emitted += len(text)
        return text

    def finish(self) -> str:
        """See Detokenizer."""
        return self._tokenizer.decode(self._ids, skip_special_tokens=self._skip)[self._emitted :]


def is_byte_level(tokenizer: Tokenizer) -> bool:
    """Whether the bytes of tokens joined are the bytes of the text."""
    return isinstance(tokenizer.decoder, decoders.ByteLevel)


def token_bytes(tokenizer: Tokenizer) -> dict[int, bytes]:
    """The bytes of every token of a byte-level vocabulary, as tokenizers' ByteLevel decoder maps them."""
    table = _latin_of_character()
    return {number: _spell(token, table) for token, number in tokenizer.get_vocab(with_added_tokens=True).items()}


def _spell(token: str, table: dict[int, int]) -> bytes:
    try:
        return token.translate(table).encode("latin-1")
    except UnicodeEncodeError:  # an added token, which is spelled as it is
        return token.encode()


def _latin_of_character() -> dict[int, int]:
    """GPT-2's table of bytes as visible characters, reversed; characters that stand for no byte leave Latin-1."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    no_byte = dict.fromkeys(hidden, 0xFFFF)
    return no_byte | {256 + place: byte for place, byte in enumerate(hidden)}
