"""Trains the router's complexity classifier.

    python tools/train_router.py --on mmlu|gsm8k|both --out FILE [--data DIR]

DIR holds mmlu_train.csv and gsm8k_train.csv: prompts with the outcomes of a small and a large model. `both` adds the
prompts of everyday work (tools/router_training/everyday.jsonl), since it is what the router ships with; the other two
learn from one set alone, so that what carries over to the other can be measured. Deterministic; takes seconds.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from repo import ROOT

sys.path.insert(0, str(ROOT))

from services.router.domain.classifier.model import BUNDLED, Model
from tools.router_training.build import build
from tools.router_training.fit import Config
from tools.router_training.rows import load_rows
from tools.router_training.vectors import load_vectors

DATA = ROOT.parent / "shared" / "data" / "routing"
SOURCES = {"mmlu": ["mmlu"], "gsm8k": ["gsm8k"], "both": ["mmlu", "gsm8k", "everyday"]}


def train(on: str, data: Path = DATA) -> Model:
    """The model of one choice of SOURCES; OSError when the data is not there."""
    vectors = load_vectors()
    return build(load_rows(SOURCES[on], data, vectors), vectors, Config())


def main() -> None:
    """Trains and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--on", choices=SOURCES, required=True)
    parser.add_argument("--out", type=Path, required=True, help=f"the bundled one is {BUNDLED.relative_to(ROOT)}")
    parser.add_argument("--data", type=Path, default=DATA)
    args = parser.parse_args()
    try:
        train(args.on, args.data).save(args.out)
    except OSError as problem:
        parser.exit(
            2, f"error: {problem}\n  fix: give the folder of the outcomes with --data, a writable file with --out\n"
        )
    print(f"{args.out}: trained on {args.on}, {args.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
