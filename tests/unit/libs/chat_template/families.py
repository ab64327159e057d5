"""Small tokenizers of every family whose words are cached, trained in memory, and text that is hard to cut."""

from __future__ import annotations

from functools import lru_cache

from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, trainers
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

from libs.chat_template.space_boundaries import PATTERNS

CORPUS = (
    "hello there, this is a system user's text\n    def f(x):\n\treturn  x + 123  # it's\r\n\r\n déjà vu 2026 😀 x   y "
)
FAMILIES = ("byte_level", "digits", "gpt2", "cl100k", "qwen2", "o200k")


def pre_tokenizer(family):
    whole = ByteLevel(add_prefix_space=False, use_regex=True)
    if family == "byte_level":
        return whole
    if family == "digits":
        return Sequence([Digits(individual_digits=True), whole])
    split = Split(Regex(PATTERNS[family]), behavior="isolated")
    return Sequence([split, ByteLevel(add_prefix_space=False, use_regex=False)])


@lru_cache
def tokenizer_of(family, *, nfc=False):
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizer(family)
    made.decoder = decoders.ByteLevel()
    if nfc:
        made.normalizer = normalizers.NFC()
    trainer = trainers.BpeTrainer(vocab_size=500, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator([CORPUS * 20], trainer)
    made.add_special_tokens([AddedToken(t, normalized=False) for t in ("<|im_start|>", "<|im_end|>")])
    made.add_tokens([AddedToken("<think>", normalized=False), AddedToken("vu", normalized=True)])
    return made


SPACES = [" ", "  ", "   ", "\n", "\r\n", "\t", " \n", "\n ", "\u00a0", "\u2003", "\u3000", "\x1c", "\x85", "\u180e"]
MARKS = ["\u0301", "\u0327", "e\u0301", "\u1100\u1161", "\u200b", "\u200d", "\ufeff", "\ufe0f", "\u0958", "\u2126"]
WORDS = [
    "hello",
    "it's",
    "'s",
    " 's",
    "'ll",
    "123",
    "12a",
    "x",
    "é",
    "😀",
    "def f(x):",
    "/",
    "...",
    "!",
    "日本語",
    "\u0660",
]
TOKENS = ["<|im_start|>", "<|im_end|>", "<think>", " <think> ", "<|im_", "vu", "déjà vu", "\x00", "DON'T", "\u0660"]
PIECES = st.sampled_from(SPACES) | st.sampled_from(MARKS + WORDS + TOKENS) | st.text(max_size=3)
NASTY = st.lists(PIECES, max_size=14).map("".join)
