from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from services.router.domain.classifier.words import REMEMBERED_MAX, WORD_LENGTH_MAX, Pieces

PIECES = Pieces([b"glu", b"##con", b"##eo", b"##genesis", b"the", b"a", b"##b"])


def test_known_words_have_one_row_each_in_order_and_once():
    assert PIECES.rows([b"the", b"a", b"the"]) == [5, 6]


def test_an_unknown_word_is_its_longest_pieces():
    assert PIECES.rows([b"the", b"gluconeogenesis"]) == [5, 1, 2, 3, 4]


def test_a_word_with_an_unknown_part_says_nothing():
    assert PIECES.rows([b"gluxgenesis", b"zzz"]) == []


def test_keys_and_hashes_are_not_taken_apart():
    assert PIECES.rows([b"a" + b"b" * (WORD_LENGTH_MAX - 1)]) != []
    assert PIECES.rows([b"a" + b"b" * WORD_LENGTH_MAX]) == []


def test_what_is_remembered_is_bounded_and_changes_nothing():
    pieces = Pieces([b"word", *(b"##" + bytes([digit]) for digit in b"0123456789")])
    words = [b"word%d" % n for n in range(REMEMBERED_MAX + 10)]
    first, again = [pieces.rows([word]) for word in words], [pieces.rows([word]) for word in words]
    assert first == again
    assert first[12] == [1, 3, 4]
    assert 0 < len(pieces._remembered) <= REMEMBERED_MAX


@given(st.lists(st.sampled_from([b"the", b"a", b"ab", b"abb", b"glucon", b"x", b"thea"])))
def test_equal_words_have_equal_rows_whatever_stands_beside_them(words: list[bytes]):
    alone = [row for word in dict.fromkeys(words) for row in PIECES.rows([word])]
    assert PIECES.rows(words) == alone
