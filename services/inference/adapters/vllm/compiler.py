"""What runs inside the grammar sandbox: xgrammar, set up as vLLM sets it up in the engine."""

from __future__ import annotations

import json
from pathlib import Path

from services.inference.adapters.vllm.sandbox import Compile


def prepare(model_path: str) -> Compile:
    """The compile function for a model's vocabulary. Takes a second: it reads the tokenizer."""
    import xgrammar
    from transformers import AutoTokenizer
    from vllm.sampling_params import check_json_nesting
    from vllm.v1.structured_output.backend_xgrammar import has_xgrammar_unsupported_json_features

    vocab = json.loads((Path(model_path) / "config.json").read_text())["vocab_size"]
    info = xgrammar.TokenizerInfo.from_huggingface(AutoTokenizer.from_pretrained(model_path), vocab_size=vocab)
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile_(kind: str, text: str) -> None:
        if kind == "regex":
            if "\x00" in text:
                raise ValueError("a regular expression cannot hold a NUL character")
            compiler.compile_regex(text)
            return
        check_json_nesting(text)
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise TypeError("a JSON schema is an object")
        if has_xgrammar_unsupported_json_features(schema):
            raise ValueError(
                "it uses a keyword that cannot be guaranteed here (multipleOf, uniqueItems, contains, allOf of"
                " several, patternProperties beside properties, or pattern/format with a length)"
            )
        compiler.compile_json_schema(text, any_whitespace=False, separators=(",", ":"))

    return compile_
