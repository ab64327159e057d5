from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from services.inference.adapters.detokenizers import StreamDetokenizer, TokenizerDetokenizers, is_byte_level
from tests.unit.services.inference.world import tokenizer

IDS = st.lists(st.integers(0, tokenizer().get_vocab_size() - 1), max_size=30)


def text_of(detokenizer, ids):
    return "".join(map(detokenizer.feed, ids)) + detokenizer.finish()


@settings(max_examples=300, deadline=None)
@given(ids=IDS, keep=st.booleans())
def test_the_table_gives_what_tokenizers_give_for_any_ids(ids, keep):
    detokenizer = TokenizerDetokenizers(tokenizer()).detokenizer(keep_special_tokens=keep)
    assert text_of(detokenizer, ids) == tokenizer().decode(ids, skip_special_tokens=not keep)


@settings(max_examples=100, deadline=None)
@given(ids=IDS)
def test_so_does_the_stream(ids):
    detokenizer = StreamDetokenizer(tokenizer(), skip_special_tokens=True)
    assert text_of(detokenizer, ids) == tokenizer().decode(ids, skip_special_tokens=True)


def sentencepiece():
    vocab = {
        t: i for i, t in enumerate(["<unk>", "\u2581", "a", "b", "\u2581a", *(f"<0x{b:02X}>" for b in range(256))])
    }
    made = Tokenizer(models.BPE(vocab=vocab, merges=[("\u2581", "a")], unk_token="<unk>", byte_fallback=True))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    return made


@settings(max_examples=100, deadline=None)
@given(text=st.text(alphabet="ab é😀", max_size=12))
def test_other_vocabularies_use_the_stream(text):
    made = sentencepiece()
    assert not is_byte_level(made)
    ids = made.encode(text).ids
    detokenizer = TokenizerDetokenizers(made).detokenizer(keep_special_tokens=False)
    assert isinstance(detokenizer, StreamDetokenizer)
    assert text_of(detokenizer, ids) == made.decode(ids)


@pytest.mark.parametrize("text", ["héllo wörld", "日本語", "👩‍👩‍👧 x"])
def test_real_text_comes_back(text):
    ids = tokenizer().encode(text).ids
    assert text_of(TokenizerDetokenizers(tokenizer()).detokenizer(keep_special_tokens=False), ids) == text
