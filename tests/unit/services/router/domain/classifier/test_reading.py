from __future__ import annotations

from services.router.domain.classifier.form import FORM, measure
from services.router.domain.classifier.reading import HEAD, TAIL, read


def test_of_a_long_text_the_beginning_and_the_end_are_read():
    reading = read("first " + "middle " * 5000 + "last")
    assert len(reading.text) == HEAD + TAIL
    assert reading.words[0] == b"first"
    assert reading.words[-1] == b"last"


def test_length_is_that_of_the_whole_text():
    at = FORM.index("characters")
    long, longer = ("word " * count for count in (2000, 4000))
    assert measure(read(longer))[at] > measure(read(long))[at]
    assert measure(read(long, unseen=len(long)))[at] == measure(read(longer))[at]


def test_words_are_letters_and_digits_in_lower_case():
    assert read("Don't add 5mg to NaCl—please!").words == [b"don", b"t", b"add", b"5mg", b"to", b"nacl", b"please"]


def test_signs_beyond_latin_1_are_told_apart_from_letters():
    assert read("√x “q”").raw == b'|x "q"'
    assert read("你好").raw == b"??"
