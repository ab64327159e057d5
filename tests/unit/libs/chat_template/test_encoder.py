from __future__ import annotations

from datetime import datetime

from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers

from libs.chat_template import ChatTemplate, PromptEncoder, Rendered, Run, unpack

NOW = datetime(2026, 1, 2)  # noqa: DTZ001 - a template prints it as it is


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(alphabet="abc é😀\n.,'", max_size=30), min_size=1, max_size=4))
def test_ids_equal_the_normal_encoding_when_nothing_is_forged(files, tokenizer, texts):
    rendered = ChatTemplate.load(files, tokenizer).render([{"role": "user", "content": t} for t in texts], now=NOW)
    encoded = PromptEncoder(tokenizer).encode(rendered)
    assert unpack(encoded.packed) == tokenizer.encode(rendered.text, add_special_tokens=False).ids
    assert encoded.count == len(encoded.packed) // 4


def test_added_tokens_that_are_not_special_stay_tokens(tokenizer):
    ids = unpack(PromptEncoder(tokenizer).encode(Rendered([Run("<think>")])).packed)
    assert ids == [tokenizer.token_to_id("<think>")]


def test_special_tokens_in_text_become_ordinary_text(tokenizer):
    ids = unpack(PromptEncoder(tokenizer).encode(Rendered([Run("<s>")])).packed)
    assert tokenizer.token_to_id("<s>") not in ids


def test_only_the_new_part_of_a_session_is_tokenised(files, tokenizer):
    template, encoder = ChatTemplate.load(files, tokenizer), PromptEncoder(tokenizer)
    turns = [{"role": "user", "content": "hello there " * 50}]
    first = encoder.encode(template.render(turns, now=NOW), "t")
    turns += [{"role": "assistant", "content": "yes"}, {"role": "user", "content": "and this"}]
    second = encoder.encode(template.render(turns, now=NOW), "t")
    assert first.fresh_tokens > 100
    assert second.fresh_tokens < 30
    assert (encoder.hit_tokens, encoder.miss_tokens) == (
        second.count - second.fresh_tokens - _controls(second, tokenizer),
        first.fresh_tokens + second.fresh_tokens,
    )


def _controls(encoded, tokenizer):
    controls = {tokenizer.token_to_id(t) for t in ("<|im_start|>", "<|im_end|>")}
    return sum(i in controls for i in unpack(encoded.packed))


def test_tenants_share_nothing(tokenizer):
    encoder = PromptEncoder(tokenizer)
    encoder.encode(Rendered([Run("hello there")]), "a")
    assert encoder.encode(Rendered([Run("hello there")]), "a").fresh_tokens == 0
    assert encoder.encode(Rendered([Run("hello there")]), "b").fresh_tokens > 0


def test_the_cache_is_bounded_and_forgets_the_oldest(tokenizer):
    encoder = PromptEncoder(tokenizer, cache_bytes_max=4 * (250 + 4 * 6 + 40))
    for i in range(20):
        encoder.encode(Rendered([Run(f"text{i:02}")]))
    assert len(encoder._cache) <= 8
    assert encoder.encode(Rendered([Run("text19")])).fresh_tokens == 0
    assert encoder.encode(Rendered([Run("text00")])).fresh_tokens > 0


def test_later_runs_get_no_space_before_their_first_word():
    vocab = {token: i for i, token in enumerate(["\u2581", "a", "\u2581a", "<unk>"])}
    made = Tokenizer(models.BPE(vocab=vocab, merges=[("\u2581", "a")], unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    made.add_special_tokens(["<s>"])
    packed = PromptEncoder(made).encode(Rendered([Run("a"), Run("<s>", made.token_to_id("<s>")), Run("a")])).packed
    assert unpack(packed) == made.encode("a<s>a", add_special_tokens=False).ids


def test_a_vocabulary_with_the_word_first_needs_no_second_tokenizer(tokenizer):
    tokenizer = Tokenizer.from_str(tokenizer.to_str())
    tokenizer.add_tokens([AddedToken("first", normalized=False)])
    encoder = PromptEncoder(tokenizer)
    assert encoder._later is encoder._first
