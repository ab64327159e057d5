"""Turns a GGUF file into what vLLM loads: `python -m cli.model.gguf_to_safetensors FILE.gguf DIRECTORY`.

A program of its own: transformers and torch take seconds and a gigabyte, which the supervisor must not keep.
Its progress bars (tqdm on stderr) are read by `convert`.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path


def main(source: Path, target: Path) -> None:
    """Writes weights (bfloat16), config, tokenizer and chat template into `target`."""
    os.environ["HF_HUB_OFFLINE"] = "1"  # everything is in the file; a missing piece must not start a download
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    model = AutoModelForCausalLM.from_pretrained(
        source.parent,
        gguf_file=source.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(target)
    AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name).save_pretrained(target)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
