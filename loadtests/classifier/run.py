"""How much better than their length the classifier ranks prompts, and what it costs.

    python -m loadtests.classifier.run [--data DIR] [--repeats 20] [--samples 2000] [--rounds 20]

Compared with prompt length on the same rows and folds (RouteLLM's measures, see tools/router_training/metrics.py).
Repeated 5-fold cross-validation, equal prompts in one fold; intervals are 90 %, paired bootstrap over rows. "mmlu" and
"gsm8k" learn from that set alone, "… of both" from the other and from everyday prompts too, as the shipped model
does; the transfers learn from one set and are tried on the other. The settings of the fit were chosen on these rows,
so that figures in the set are a little too good; the intervals do not know of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from loadtests.classifier.cost import cost
from loadtests.classifier.ranking import forecasts, report, transferred, validated
from loadtests.common.report import emit
from services.router.domain.classifier import Classifier
from tools.router_training.fit import Config
from tools.router_training.rows import load_rows
from tools.router_training.vectors import load_vectors

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "routing"


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """The report."""
    vectors, config = load_vectors(), Config()
    mmlu, gsm8k, everyday = (load_rows([name], args.data, vectors) for name in ("mmlu", "gsm8k", "everyday"))
    few = max(1, args.repeats // 4)
    return {
        "ranking": {
            "mmlu": report(mmlu, validated(mmlu, config, args.repeats), args.samples),
            "gsm8k": report(gsm8k, validated(gsm8k, config, args.repeats), args.samples),
            "mmlu of both": report(
                mmlu, validated(mmlu, config, args.repeats, gsm8k.with_rows(everyday)), args.samples
            ),
            "gsm8k of both": report(
                gsm8k, validated(gsm8k, config, args.repeats, mmlu.with_rows(everyday)), args.samples
            ),
            "mmlu to gsm8k": report(gsm8k, transferred(mmlu, gsm8k, config), args.samples),
            "gsm8k to mmlu": report(mmlu, transferred(gsm8k, mmlu, config), args.samples),
        },
        "probability": {
            "mmlu": forecasts(mmlu, config, few, gsm8k.with_rows(everyday)),
            "gsm8k": forecasts(gsm8k, config, few, mmlu.with_rows(everyday)),
        },
        "cost": cost(Classifier.load(), mmlu.with_rows(gsm8k), args.rounds),
    }


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    for name, default in (("repeats", 20), ("samples", 2000), ("rounds", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--out")
    args = parser.parse_args()
    emit("classifier", measure(args), args.out)


if __name__ == "__main__":
    main()
