from __future__ import annotations

from services.inference.adapters.simulated.vocabulary import Vocabulary
from tests.unit.services.inference.world import tokenizer


def test_words_are_whole_printable_characters():
    vocabulary = Vocabulary(tokenizer(), "words", 0)
    assert all(vocabulary.bytes_of(i).decode().isprintable() for i in vocabulary.words)
    assert not {0, 1, 2} & set(vocabulary.words)


def test_all_holds_tokens_that_cut_characters_and_no_special_ones():
    every = Vocabulary(tokenizer(), "all", 0)
    assert len(every.words) == every.size - 3
    assert any(vocabulary_bytes[0] >= 0x80 for vocabulary_bytes in map(every.bytes_of, every.words))


def test_a_maximum_keeps_so_many():
    assert len(Vocabulary(tokenizer(), "words", 4).words) == 4


def test_unknown_ids_have_no_bytes():
    assert Vocabulary(tokenizer(), "words", 0).bytes_of(10**6) == b""


def test_encoding_knows_no_control_tokens_by_name():
    assert Vocabulary(tokenizer(), "words", 0).encode("the river")
