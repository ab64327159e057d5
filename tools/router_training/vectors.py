"""Vectors of word pieces, cut down from the input embeddings of a sentence encoder, as a file for training.

    python -m tools.router_training.vectors --model DIR --out tools/router_training/vectors.npz

DIR holds `model.safetensors` and `tokenizer.json` of sentence-transformers/all-MiniLM-L6-v2 (Apache-2.0). Pieces of
ASCII letters and digits are kept, their vectors projected on the `--size` directions of largest variance and stored as
bytes. The encoder itself is not run: a mean of its input embeddings ranked the training rows as well as its output did.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VECTORS = Path(__file__).with_name("vectors.npz")
_EMBEDDINGS = "embeddings.word_embeddings.weight"
_KEPT = re.compile(r"(##)?[a-z0-9]+")


@dataclass(frozen=True, eq=False)
class Vectors:
    """One row of `values` per piece."""

    pieces: tuple[bytes, ...]
    values: NDArray[np.float64]


def load_vectors(path: Path = VECTORS) -> Vectors:
    """Reads a file that `main` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        values = stored["values"].astype(np.float64) * stored["scale"]
        return Vectors(tuple(stored["pieces"].tobytes().split(b"\n")), values)


def read_tensor(path: Path, name: str) -> NDArray[np.float32]:
    """One float32 tensor of a safetensors file (huggingface.co/docs/safetensors, "Format")."""
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8 : 8 + size])
    about = header.get(name) or header[f"bert.{name}"]
    begin, end = about["data_offsets"]
    return np.frombuffer(raw[8 + size + begin : 8 + size + end], np.float32).reshape(about["shape"])


def project(values: NDArray[np.float32], size: int) -> NDArray[np.float64]:
    """Principal components, largest first."""
    centred = values.astype(np.float64) - values.mean(0)
    found, directions = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(-found)[:size]
    projected: NDArray[np.float64] = centred @ directions[:, order]
    return projected


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=VECTORS)
    parser.add_argument("--size", type=int, default=96)
    args = parser.parse_args()
    vocabulary = json.loads((args.model / "tokenizer.json").read_text())["model"]["vocab"]
    kept = sorted((row, piece) for piece, row in vocabulary.items() if _KEPT.fullmatch(piece))
    values = project(read_tensor(args.model / "model.safetensors", _EMBEDDINGS)[[row for row, _ in kept]], args.size)
    scale = np.abs(values).max(0) / 127
    pieces = np.frombuffer("\n".join(piece for _, piece in kept).encode(), np.uint8)
    np.savez_compressed(args.out, pieces=pieces, values=np.round(values / scale).astype(np.int8), scale=scale)
    print(f"{args.out}: {len(kept)} pieces of {args.size} numbers, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
