from __future__ import annotations

import json

import pytest
from tokenizers import AddedToken, Tokenizer

from libs.chat_template import pack
from libs.chat_template.space_boundaries import PATTERNS, begins_words_at_spaces
from libs.chat_template.words import WordCache
from tests.unit.libs.chat_template.families import FAMILIES, tokenizer_of


def changed(change, family="cl100k"):
    document = json.loads(tokenizer_of(family).to_str())
    change(document)
    return json.dumps(document)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("nfc", [False, True])
def test_known_families_are_proven(family, nfc):
    assert begins_words_at_spaces(tokenizer_of(family, nfc=nfc).to_str())


def test_patterns_are_those_that_models_ship():
    assert PATTERNS["cl100k"] == (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    assert PATTERNS["qwen2"] == PATTERNS["cl100k"].replace("{1,3}", "")
    assert PATTERNS["o200k"] == (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
        r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


def steps(document):
    return document["pre_tokenizer"]["pretokenizers"]


DOUBLED = {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}]}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["model"].update(dropout=0.1),
        lambda d: d["model"].update(unk_token="<unk>"),
        lambda d: d["model"].update(end_of_word_suffix="</w>"),
        lambda d: d["model"].update(type="Unigram"),
        lambda d: d.update(normalizer={"type": "Lowercase"}),
        lambda d: d.update(normalizer={"type": "NFKC"}),
        lambda d: d.update(pre_tokenizer=None),
        lambda d: d.update(pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first"}),
        lambda d: d.update(pre_tokenizer={"type": "Sequence", "pretokenizers": []}),
        lambda d: d.update(post_processor=DOUBLED),
        lambda d: d.update(post_processor={"type": "Sequence", "processors": [DOUBLED]}),
        lambda d: d.update(post_processor={"type": "RobertaProcessing"}),
        lambda d: steps(d)[0].update(behavior="MergedWithNext"),
        lambda d: steps(d)[0].update(invert=True),
        lambda d: steps(d)[0].update(pattern={"String": " "}),
        lambda d: steps(d)[0]["pattern"].update(Regex=r"\w+ \w+"),
        lambda d: steps(d).insert(1, steps(d)[0]),
        lambda d: steps(d).insert(1, {"type": "Digits", "individual_digits": True}),
        lambda d: steps(d).pop(),
        lambda d: steps(d).pop(0),
        lambda d: steps(d)[1].update(add_prefix_space=True),
        lambda d: steps(d)[1].update(use_regex=True),
        lambda d: d["added_tokens"][0].update(content="two words"),
        lambda d: d["added_tokens"][0].update(content="\u00a0"),
        lambda d: d["added_tokens"][2].update(rstrip=True),
        lambda d: d["added_tokens"][2].update(lstrip=True),
        lambda d: d["added_tokens"][2].update(single_word=True),
    ],
)
def test_what_is_not_proven_is_refused(change):
    assert not begins_words_at_spaces(changed(change))


@pytest.mark.parametrize(
    "token", [AddedToken("a b", normalized=False), AddedToken("<x>", rstrip=True, normalized=False)]
)
def test_words_of_a_refused_tokenizer_would_give_other_ids(token):
    tokenizer = Tokenizer.from_str(tokenizer_of("cl100k").to_str())
    tokenizer.add_tokens([token])
    assert not begins_words_at_spaces(tokenizer.to_str())
    cache = WordCache(tokenizer, 100_000)
    text = "a b <x> c"
    # From different texts, so that no call of the tokenizer sees two of these words.
    for word in ("a", "z b", "z <x>", "z c"):
        cache.encode(word, "t")
    assert cache.encode(text, "t") != pack(tokenizer.encode(text, add_special_tokens=False).ids)
