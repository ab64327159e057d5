"""The files of a tokenizer, as `{name: bytes}`: what `FetchTokenizer` streams and what lies in a model directory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from tokenizers import Tokenizer

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
TEMPLATE = "chat_template.jinja"
_NAMED_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class SpecialToken(NamedTuple):
    """A control token. `lstrip`/`rstrip`: it swallows the white space before or after itself."""

    content: str
    id: int
    lstrip: bool = False
    rstrip: bool = False


def load_tokenizer(files: Mapping[str, bytes]) -> Tokenizer:
    """The tokenizer, never truncating and never padding. Raises ValueError when tokenizer.json is missing or bad."""
    if TOKENIZER not in files:
        raise ValueError(f"the model has no {TOKENIZER}: convert its tokenizer to the Hugging Face fast format")
    try:
        tokenizer = Tokenizer.from_buffer(files[TOKENIZER])
    except Exception as error:  # the Rust side raises bare Exception
        raise ValueError(f"{TOKENIZER} cannot be read ({error}): fetch the model again") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> list[SpecialToken]:
    """Added tokens that are marked special, in order of id."""
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    return [SpecialToken(t.content, i, t.lstrip, t.rstrip) for i, t in added if t.special]


def named_tokens(files: Mapping[str, bytes]) -> dict[str, str]:
    """`bos_token` and its like, which templates write; tokens that the model lacks are absent."""
    config = _config(files)
    found = {name: _content(config.get(name)) for name in _NAMED_TOKENS}
    return {name: content for name, content in found.items() if content}


def template_sources(files: Mapping[str, bytes]) -> dict[str, str]:
    """Template texts by name; "default" is always there. Raises ValueError when the model has no template."""
    if TEMPLATE in files:
        return {"default": files[TEMPLATE].decode()}
    found = _config(files).get("chat_template")
    sources = found if isinstance(found, str) else {t["name"]: t["template"] for t in found or ()}
    if isinstance(sources, str):
        return {"default": sources}
    if "default" not in sources:
        raise ValueError(f"the model has no chat template: put one beside its tokenizer as {TEMPLATE}")
    return sources


def _config(files: Mapping[str, bytes]) -> dict[str, Any]:
    config: dict[str, Any] = msgspec.json.decode(files.get(CONFIG, b"{}"), type=dict[str, Any])
    return config


def _content(token: Any) -> str:
    content = token.get("content", "") if isinstance(token, dict) else token
    return content if isinstance(content, str) else ""
