from __future__ import annotations

import re
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer

from libs.chat_template import PromptEncoder, Rendered, Run, pack, words
from libs.chat_template.words import WordCache, stretches
from tests.unit.libs.chat_template.families import FAMILIES, NASTY, SPACES, tokenizer_of

MODEL = Path(__file__).parents[4] / ".headrace" / "models" / "smollm2-135m-instruct" / "tokenizer.json"
BYTES = 48 * 1024 * 1024
VARIANTS = [(family, nfc) for family in FAMILIES for nfc in (False, True)]


def plain(tokenizer):
    made = Tokenizer.from_str(tokenizer.to_str())
    made.encode_special_tokens = True
    return made


def ids_of(tokenizer, text):
    return pack(tokenizer.encode(text, add_special_tokens=False).ids)


@pytest.mark.parametrize(("family", "nfc"), VARIANTS)
@settings(max_examples=150, deadline=None)
@given(texts=st.lists(NASTY, min_size=1, max_size=5))
def test_words_put_together_are_the_text_encoded_at_once(family, nfc, texts):
    tokenizer = plain(tokenizer_of(family, nfc=nfc))
    cache = WordCache(tokenizer, BYTES)
    for text in [*texts, *reversed(texts), " ".join(texts)]:
        assert cache.encode(text, "t") == ids_of(tokenizer, text)


@pytest.mark.skipif(not MODEL.exists(), reason="needs the bundled model's tokenizer")
def test_the_same_with_the_bundled_models_tokenizer():
    tokenizer = plain(Tokenizer.from_file(str(MODEL)))
    cache = WordCache(tokenizer, BYTES)  # one for all examples: most words are found in it
    assert PromptEncoder(tokenizer)._words

    @settings(max_examples=500, deadline=None)
    @given(text=NASTY)
    def check(text):
        assert cache.encode(text, "t") == ids_of(tokenizer, text)

    check()


@pytest.mark.parametrize("family", FAMILIES)
def test_every_character_may_stand_beside_a_space(family):
    tokenizer = plain(tokenizer_of(family, nfc=True))
    cache = WordCache(tokenizer, BYTES)
    # Every character below U+3100 beside what differs by pattern; above it only letters and symbols follow.
    for start in range(0, 0x3100, 16):
        text = "".join(f"a{chr(c)} {chr(c)}b 1{chr(c)} 2 {chr(c)} .{chr(c)}  x" for c in range(start, start + 16))
        assert cache.encode(text, "t") == ids_of(tokenizer, text), hex(start)
        assert cache.encode(text, "t") == ids_of(tokenizer, text), hex(start)


def test_nothing_that_is_white_space_ends_a_stretch():
    spaces = [c for c in map(chr, range(sys.maxunicode)) if c.isspace() and c != " "]
    assert [stretches(f"a{space} b") for space in spaces] == [[f"a{space} b"] for space in spaces]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", [""]),
        (" ", ["", ""]),
        (" a b", ["", "a", "b"]),
        ("  a", ["", " a"]),
        ("a b  c\n d", ["a", "b", " c\n d"]),
        ("a \nb ", ["a", "\nb", ""]),
    ],
)
def test_stretches_join_what_has_no_certain_beginning(text, expected):
    assert stretches(text) == expected
    assert " ".join(expected) == text


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_rule_for_white_space_ids_would_differ(family, monkeypatch):
    monkeypatch.setattr(words, "_BEGINNING", re.compile(" "))
    tokenizer = plain(tokenizer_of(family))
    cache = WordCache(tokenizer, BYTES)
    texts = [f"a{one} {other}b" for one in ["", *SPACES] for other in ["", *SPACES]]
    assert any(cache.encode(text, "t") != ids_of(tokenizer, text) for text in texts)


class Watched(WordCache):
    """Counts the texts that reach the tokenizer."""

    def __init__(self, bytes_max=BYTES):
        super().__init__(plain(tokenizer_of("byte_level")), bytes_max)
        self.asked = []
        inner = self._tokenizer

        class Asked:
            def encode(_self, texts):  # noqa: N805 - `self` is the cache
                self.asked += texts
                return inner.encode(texts)

        self._tokenizer = Asked()


def test_only_new_words_reach_the_tokenizer():
    cache = Watched()
    cache.encode("hello there", "t")
    cache.encode("hello hello there  and\nthis", "t")
    assert cache.asked == ["hello", " there", " hello", "  and\nthis"]
    cache.encode("hello there  and\nthis hello", "t")
    assert len(cache.asked) == 4


def test_tenants_share_no_words():
    cache = Watched()
    for tenant in ("a", "b", "a"):
        cache.encode("hello there", tenant)
    assert cache.asked == ["hello", " there"] * 2


def test_what_ends_in_white_space_or_is_long_is_not_kept():
    cache = Watched()
    for _ in range(2):
        cache.encode("hello there\n", "t")
        cache.encode("hello " + "x" * 65, "t")
    assert cache.asked == ["hello", " there\n", " " + "x" * 65, " there\n", " " + "x" * 65]


def test_a_tenant_beyond_its_share_starts_anew_and_harms_no_other():
    cache = Watched(bytes_max=40_000)
    cache.encode("hello there", "quiet")
    for i in range(1000):
        cache.encode(f"hello {i}", "loud")
        assert cache._bytes <= 40_000
    asked = len(cache.asked)
    cache.encode("hello there", "quiet")
    assert len(cache.asked) == asked
    assert cache._bytes == sum(w.bytes for w in cache._tenants.values()) + 200 * len(cache._tenants)


def test_of_many_tenants_the_one_away_longest_goes():
    cache = Watched(bytes_max=5_000)
    for i in range(50):
        cache.encode("hello there", f"tenant-{i}")
        cache.encode("hello there", "busy")
    asked = len(cache.asked)
    cache.encode("hello there", "busy")
    assert len(cache.asked) == asked
    cache.encode("hello there", "tenant-0")
    assert len(cache.asked) == asked + 2
    assert cache._bytes <= 5_000


def test_threads_that_fill_and_drop_the_same_tenant_get_right_ids():
    tokenizer = plain(tokenizer_of("byte_level"))
    cache = WordCache(tokenizer, 20_000)
    wrong = []

    def work(seed):
        for i in range(300):
            text = f"hello {i % 40} x{seed * i}  there\n{i} this"
            if cache.encode(text, "t") != ids_of(tokenizer, text):
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_the_encoder_uses_words_only_where_that_is_proven():
    tokenizer = tokenizer_of("byte_level")
    encoder = PromptEncoder(tokenizer)
    rendered = Rendered([Run("hello there  you")])
    assert encoder._words is not None
    assert encoder.encode(rendered).packed == ids_of(plain(tokenizer), "hello there  you")
    greedy = Tokenizer.from_str(tokenizer.to_str())
    greedy.add_tokens([AddedToken("there", lstrip=True, normalized=False)])
    refused = PromptEncoder(greedy)
    assert refused._words is None
    assert refused.encode(rendered).packed == ids_of(plain(greedy), "hello there  you")
