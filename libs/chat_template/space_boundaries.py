r"""Which tokenizers never join text over a space, so that their ids are those of the words one by one.

The claim: in a text, a U+0020 behind a character that is no white space always begins a pre-token, and what stands
before it has no influence on what follows. It holds for byte-level BPE with a pre-tokenizer from this file, because
- no alternative of these patterns has a space behind anything but white space, and none looks behind itself;
- `\s+(?!\S)` looks ahead, but a stretch that ends in no white space holds all that it looks at;
- a space neither composes with what is before it nor moves in NFC, so normalising is the same piece by piece;
- no added token holds white space or swallows any, so none matches across the space;
- BPE sees one pre-token at a time; without dropout its answer is always the same.
Anything else is refused: such tokenizers encode whole texts.
"""

from __future__ import annotations

import json
from itertools import dropwhile
from typing import Any

_TAIL = r"\s*[\r\n]+|\s+(?!\S)|\s+"
_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_START = r"[^\r\n\p{L}\p{N}]?"
# As published: openai/tiktoken tiktoken_ext/openai_public.py, and tokenizer.json of Llama 3, Qwen 2 and gpt-oss.
PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": rf"{_ENDINGS}|{_START}\p{{L}}+|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}",
    "qwen2": rf"{_ENDINGS}|{_START}\p{{L}}+|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{_TAIL}",
    "o200k": rf"{_START}{_UPPER}*{_LOWER}+{_ENDINGS}?|{_START}{_UPPER}+{_LOWER}*{_ENDINGS}?"
    rf"|\p{{N}}{{1,3}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{_TAIL}",
}
_KNOWN = frozenset(PATTERNS.values())


def begins_words_at_spaces(tokenizer_json: str) -> bool:
    """Whether the claim above is proven for this tokenizer.json. False is always a safe answer."""
    document = json.loads(tokenizer_json)
    return (
        _model_fits(document["model"])
        and (document.get("normalizer") or {"type": "NFC"}) == {"type": "NFC"}
        and _pre_tokenizer_fits(steps_of(document.get("pre_tokenizer")))
        and _post_processor_fits(document.get("post_processor"))
        and all(map(_added_fits, document.get("added_tokens", ())))
    )


def steps_of(pre_tokenizer: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The steps of a pre-tokenizer in order, sequences within sequences opened."""
    if not pre_tokenizer:
        return []
    return [step for inner in pre_tokenizer.get("pretokenizers", []) for step in steps_of(inner)] or [pre_tokenizer]


def _model_fits(model: dict[str, Any]) -> bool:
    parts = ("dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix")
    return model.get("type") == "BPE" and not any(map(model.get, parts))


def _pre_tokenizer_fits(steps: list[dict[str, Any]]) -> bool:
    # Digits cuts by the kind of one character, wherever it stands.
    match list(dropwhile(lambda step: step.get("type") == "Digits", steps)):
        case [last]:
            return _byte_level_fits(last, use_regex=True)
        case [split, last]:
            return _split_fits(split) and _byte_level_fits(last, use_regex=False)
    return False


def _byte_level_fits(step: dict[str, Any], *, use_regex: bool) -> bool:
    return (
        step.get("type") == "ByteLevel"
        and step.get("add_prefix_space") is False
        and step.get("use_regex", True) is use_regex
    )


def _split_fits(step: dict[str, Any]) -> bool:
    return (
        step.get("type") == "Split"
        and step.get("behavior") == "Isolated"
        and step.get("invert") is False
        and (step.get("pattern") or {}).get("Regex") in _KNOWN
    )


def _post_processor_fits(processor: dict[str, Any] | None) -> bool:
    """Whether it leaves ids alone when no special tokens are asked for: a template could repeat the text."""
    kind = processor.get("type") if processor else None
    if processor is None or kind == "ByteLevel":
        return True
    if kind == "Sequence":
        return all(map(_post_processor_fits, processor["processors"]))
    return kind == "TemplateProcessing" and sum("Sequence" in part for part in processor["single"]) == 1


def _added_fits(token: dict[str, Any]) -> bool:
    greedy = token.get("lstrip") or token.get("rstrip") or token.get("single_word")
    return not greedy and not any(c.isspace() for c in token["content"])
