from __future__ import annotations

import pytest
from tokenizers import AddedToken, Tokenizer

from libs.chat_template import pack
from libs.chat_template.word_tokenizer import WordTokenizer
from tests.unit.libs.chat_template.families import FAMILIES, tokenizer_of

WORDS = ["hello", " it's", " 😀é", " 12345", " <think>x", " \n\n  déjà", " e\u0301", " \u2126\u0958", " end \n"]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("nfc", [False, True])
@pytest.mark.parametrize("count", range(1, len(WORDS) + 1))
def test_each_text_gets_its_own_ids(family, nfc, count):
    tokenizer = tokenizer_of(family, nfc=nfc)
    expected = [pack(tokenizer.encode(word, add_special_tokens=False).ids) for word in WORDS[:count]]
    assert WordTokenizer(tokenizer).encode(WORDS[:count]) == expected


def test_one_call_where_the_bytes_add_up():
    words = WordTokenizer(tokenizer_of("cl100k"))
    assert words._cut("hello there", ["hello", " there"]) is not None


def test_normalised_text_is_not_cut_by_bytes():
    words = WordTokenizer(tokenizer_of("cl100k", nfc=True))
    texts = ["e\u0301", " x"]
    assert words._cut("".join(texts), texts) is None
    words._cut = None
    assert len(words.encode(texts)) == 2


def test_a_token_of_many_bytes_is_encoded_by_itself():
    tokenizer = Tokenizer.from_str(tokenizer_of("cl100k").to_str())
    long = "<" + "é" * 200 + ">"
    tokenizer.add_tokens([AddedToken(long, normalized=False)])
    words = WordTokenizer(tokenizer)
    assert words._cut(f"a {long}", ["a", f" {long}"]) is None
    assert words.encode(["a", f" {long}"])[1] == pack(tokenizer.encode(f" {long}").ids)
