"""A model's directory: tokenizer files, digests, and what its template does to a session's prompts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from libs.chat_template import ChatTemplate, PromptEncoder, load_tokenizer, unpack
from services.inference.domain.model import PrefixStability

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json")
PART_BYTES = 256 * 1024
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf")
_READERS = 8


@dataclass(frozen=True)
class ModelFiles:
    """What a worker knows of its model without an engine. `files` are those that gateways fetch."""

    files: Mapping[str, bytes]
    tokenizer: Tokenizer
    template: ChatTemplate
    encoder: PromptEncoder
    tokenizer_digest: str
    model_digest: str
    window_tokens: int

    @classmethod
    def load(cls, path: Path, adapters: tuple[str, ...] = (), window_tokens: int = 0) -> ModelFiles:
        """Reads the directory. Raises ValueError, with what to do, when something is missing.

        `window_tokens` 0 = what the model's config.json says.
        """
        if not path.is_dir():
            raise ValueError(f"{path} is no model directory: run `headrace up` once, or set --model.path")
        files = {name: (path / name).read_bytes() for name in TOKENIZER_FILES if (path / name).is_file()}
        tokenizer = load_tokenizer(files)
        digest = tokenizer_digest(files)
        return cls(
            files,
            tokenizer,
            ChatTemplate.load(files, tokenizer),
            PromptEncoder(tokenizer),
            digest,
            model_digest(path, digest, adapters),
            window_tokens or _window(path),
        )

    def parts(self) -> Iterator[tuple[str, bytes, int]]:
        """(file, part, bytes of the file), file after file; an empty file is one empty part."""
        for name, content in self.files.items():
            for start in range(0, max(len(content), 1), PART_BYTES):
                yield name, content[start : start + PART_BYTES], len(content)

    def count(self, messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[str, list[int]]:
        """Text and token ids of a prompt. Raises PlatformError as ChatTemplate.render."""
        rendered = self.template.render(messages, tools, now=datetime.now(UTC))
        return rendered.text, unpack(self.encoder.encode(rendered).packed)


def tokenizer_digest(files: Mapping[str, bytes]) -> str:
    """SHA-256 over names and contents, hex."""
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{len(files[name])}\0".encode() + files[name])
    return digest.hexdigest()


def model_digest(path: Path, tokenizer: str, adapters: tuple[str, ...]) -> str:
    """SHA-256 over weights, config, tokenizer, template and adapters, hex.

    Every byte counts: two tunings of a model may differ in a few layers only, and a stream must not go on with the
    other one. Files are read side by side (about 1.5 GB/s and core), and the engine finds them in the page cache.
    """
    digest = hashlib.sha256(tokenizer.encode())
    config = path / "config.json"
    if config.is_file():
        digest.update(config.read_bytes())
    weights = sorted(found for pattern in _WEIGHTS for found in path.glob(pattern))
    with ThreadPoolExecutor(_READERS, thread_name_prefix="model-digest") as pool:
        for file, content in zip(weights, pool.map(_sha256, weights), strict=True):
            digest.update(f"{file.name}\0".encode() + content)
    digest.update("\0".join(adapters).encode())
    return digest.hexdigest()


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


_ANSWERS = ("Blue, because of Rayleigh scattering.", "<think>\nAn easy one.\n</think>\n\nBlue.")


def prefix_stability(template: ChatTemplate, encoder: PromptEncoder, tokenizer: Tokenizer) -> PrefixStability:
    """What of a prompt the next prompt of a session starts with, found by rendering a few turns.

    FULL: input and answer, as the engine wrote it; INPUT: the input only (many templates drop an answer's reasoning);
    NONE: not even that.
    """
    found = [_stability_of(answer, template, encoder, tokenizer) for answer in _ANSWERS]
    weakest_first = (PrefixStability.NONE, PrefixStability.INPUT, PrefixStability.FULL)
    return min(found, key=weakest_first.index)


def _stability_of(answer: str, template: ChatTemplate, encoder: PromptEncoder, tokenizer: Tokenizer) -> PrefixStability:
    turns = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which colour is the sky?"},
        {"role": "assistant", "content": answer},
        {"role": "user", "content": "Why?"},
    ]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    first, second = (unpack(encoder.encode(template.render(turns[:count], now=now)).packed) for count in (2, 4))
    if second[: len(first)] != first:
        return PrefixStability.NONE
    written = tokenizer.encode(answer, add_special_tokens=False).ids
    return PrefixStability.FULL if second[len(first) :][: len(written)] == written else PrefixStability.INPUT


def _window(path: Path) -> int:
    config = path / "config.json"
    found = json.loads(config.read_bytes()) if config.is_file() else {}
    window = found.get("max_position_embeddings") or found.get("text_config", {}).get("max_position_embeddings")
    if not isinstance(window, int):
        raise ValueError(  # noqa: TRY004 - the file is wrong, not a type of ours
            f"{config} names no context window: set --model.window_tokens"
        )
    return window
