"""CPU of one judgement: stripping, reading, features, score, probability and the strongest pulls."""

from __future__ import annotations

import time
from typing import Any

from loadtests.common.report import median, quantile
from services.router.domain.classifier import Classifier, TurnFacts
from tools.router_training.rows import Rows

SIZES = (60, 300, 1000, 8000)


def texts(rows: Rows, size: int, count: int = 200) -> list[str]:
    """Prompts of about that size as they are; where there are too few, stretches of prompts strung together."""
    found = [prompt for prompt in rows.prompts if 0.95 * size <= len(prompt) <= 1.05 * size]
    if len(found) < 30:
        strung = "\n\n".join(rows.prompts)
        step = (len(strung) - size) // count
        found = [strung[n * step : n * step + size] for n in range(count)]
    return found[:count]


def cost(classifier: Classifier, rows: Rows, rounds: int) -> dict[str, Any]:
    """Microseconds of this thread's CPU per judgement, by size; sizes take turns, each text is judged once a round.

    `floor` is the same clock around nothing.
    """
    wanted = {size: [TurnFacts(text=text) for text in texts(rows, size)] for size in SIZES}
    spent: dict[int, list[float]] = {size: [] for size in SIZES}
    floor: list[float] = []
    for _ in range(rounds):
        for size, turns in wanted.items():
            for turn in turns:
                began = time.thread_time_ns()
                classifier.judge(turn)
                ended = time.thread_time_ns()
                spent[size].append((ended - began) / 1000)
                floor.append((time.thread_time_ns() - ended) / 1000)
    by_size = {str(size): _figures(values) for size, values in spent.items()}
    return {"cpu_us_by_characters": by_size, "floor_us": round(median(floor), 2)}


def _figures(values: list[float]) -> dict[str, float]:
    return {"p50": round(median(values), 1), "p99": round(quantile(values, 0.99), 1), "least": round(min(values), 1)}
