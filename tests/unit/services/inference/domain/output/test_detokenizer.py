from __future__ import annotations

from services.inference.domain.output.detokenizer import ByteLevelDetokenizer, ByteTable

RAW = {0: b"a", 1: "é".encode(), 2: "😀".encode()[:2], 3: "😀".encode()[2:], 4: b"\xff", 6: b"<s>"}


def made(hidden=frozenset({6})):
    return ByteLevelDetokenizer(ByteTable(RAW, hidden))


def test_whole_characters_come_at_once():
    detokenizer = made()
    assert [detokenizer.feed(0), detokenizer.feed(1)] == ["a", "é"]
    assert detokenizer.finish() == ""


def test_a_cut_character_waits_for_its_rest():
    detokenizer = made()
    assert [detokenizer.feed(2), detokenizer.feed(3), detokenizer.feed(0)] == ["", "😀", "a"]


def test_a_character_that_is_never_completed_is_a_replacement_character():
    detokenizer = made()
    assert detokenizer.feed(2) == ""
    assert detokenizer.feed(0) == "\ufffda"
    assert detokenizer.feed(2) == ""
    assert detokenizer.finish() == "\ufffd"


def test_special_tokens_are_no_text_unless_they_are_kept():
    assert made().feed(6) == ""
    assert made(frozenset()).feed(6) == "<s>"


def test_ids_outside_the_vocabulary_are_no_text():
    assert [made().feed(i) for i in (5, 7, 10**9, -1)] == ["", "", "", ""]


def test_a_special_token_inside_a_character_does_not_join_or_part_anything_else():
    detokenizer = made()
    assert [detokenizer.feed(2), detokenizer.feed(6), detokenizer.feed(3)] == ["", "", "😀"]
