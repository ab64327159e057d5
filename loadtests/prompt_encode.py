"""CPU from messages to token ids: rendering the chat template and tokenising, with the bundled model's own files.

Every request is new text of one tenant: a short system prompt and a user message, about 95 tokens with the template's
own (`seen_words`: each word was sent before; `new_words`: none was), and a history of 40 messages of which the last one
is new (`history_40`). `encode` renders and tokenises as the gateway does, `render` is the part before the tokenizer.
Prints JSON, medians of interleaved rounds in microseconds on one core:

    python loadtests/prompt_encode.py [--rounds 7] [--profile seen_words]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import os
import pstats
import random
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from libs.chat_template import ChatTemplate
from services.gateway import convert
from services.gateway.adapters.tokenizers import TemplateEncoder
from services.gateway.domain.prompt import Prompt
from services.gateway.domain.turns import Role, Turn

MODEL = Path(__file__).parents[1] / ".headrace" / "models" / "smollm2-135m-instruct"
NAMES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
NOW = datetime(2026, 1, 1, tzinfo=UTC)
SYSTEM = Turn(Role.SYSTEM, "You are a helpful assistant. Answer briefly, in plain words.")
TEXT = """the a of to and in that for with on as at by from or this which be is are was were can could would should
about gateway latency, throughput report summarise three short sentences platform team quarterly. router session tokens
prompt cache worker models request stream please explain why how what when (briefly) difference between two, example
code Python function's returns list numbers don't it's first second week Monday 2026 graph memory bandwidth."""
WORDS = TEXT.split()
COUNT = 300  # requests of a kind and round


class Requests:
    """Prompts of each kind, none of them twice."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)
        self._history = [SYSTEM, *(Turn(self._role(i), self._text(40)) for i in range(38))]

    def prompts(self, kind: str) -> Iterator[Prompt]:
        """COUNT prompts of a kind."""
        before = self._history if kind == "history_40" else [SYSTEM]
        for _ in range(COUNT):
            text = self._new_text(22) if kind == "new_words" else self._text(58)
            yield Prompt((*before, Turn(Role.USER, text)), (), NOW)

    @staticmethod
    def _role(position: int) -> Role:
        return Role.ASSISTANT if position % 2 else Role.USER

    def _text(self, count: int) -> str:
        return " ".join(self._random.choices(WORDS, k=count))

    def _new_text(self, count: int) -> str:
        return " ".join("".join(self._random.choices("abcdefghijklmnopqrst", k=6)) for _ in range(count))


def encode(encoder: TemplateEncoder, prompts: list[Prompt]) -> tuple[float, float]:
    """CPU microseconds per prompt, and tokens per prompt."""

    async def measured() -> tuple[float, float]:
        tokens, began = 0, time.process_time()
        for prompt in prompts:
            tokens += (await encoder.encode(prompt, "tenant")).count
        return (time.process_time() - began) / len(prompts) * 1e6, tokens / len(prompts)

    return asyncio.run(measured())


def render(template: ChatTemplate, prompts: list[Prompt]) -> float:
    """CPU microseconds per prompt."""
    began = time.process_time()
    for prompt in prompts:
        template.render([convert.message(turn) for turn in prompt.turns], now=prompt.now)
    return (time.process_time() - began) / len(prompts) * 1e6


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Medians by kind."""
    files, requests = model_files(), Requests()
    template = ChatTemplate.load(files)
    kinds = ("seen_words", "new_words", "history_40")
    found: dict[str, list[tuple[float, float, float]]] = {kind: [] for kind in kinds}
    with ThreadPoolExecutor(1) as apart:
        encoder = TemplateEncoder(files, apart)
        for warm in (True, *[False] * rounds):
            for kind in kinds:
                prompts = list(requests.prompts(kind))
                whole, tokens = encode(encoder, prompts)
                if not warm:
                    found[kind].append((whole, render(template, prompts), tokens))
    names = ("encode_us", "render_us", "tokens")
    return {k: dict(zip(names, map(_median, zip(*v, strict=True)), strict=True)) for k, v in found.items()}


def _median(values: tuple[float, ...]) -> float:
    return round(statistics.median(values), 1)


def model_files() -> dict[str, bytes]:
    """The bundled model's tokenizer and template."""
    return {name: (MODEL / name).read_bytes() for name in NAMES if (MODEL / name).exists()}


def profile(kind: str) -> None:
    """Where the time of one kind goes."""
    requests = Requests()
    with ThreadPoolExecutor(1) as apart:
        encoder = TemplateEncoder(model_files(), apart)
        encode(encoder, list(requests.prompts(kind)))
        watch = cProfile.Profile()
        watch.runcall(encode, encoder, [p for _ in range(10) for p in requests.prompts(kind)])
    pstats.Stats(watch).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", metavar="KIND")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    if arguments.profile:
        profile(arguments.profile)
        return
    print(json.dumps({"benchmark": Path(__file__).stem, **measure(arguments.rounds)}, indent=2))


if __name__ == "__main__":
    main()
