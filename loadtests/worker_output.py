"""CPU of a worker per token and per request, without sockets: `python -m loadtests.worker_output`.

Prompt in, engine steps in, serialised responses out: the real handlers' parts over an engine that does nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headrace.inference.v1 import inference_pb2 as pb

from libs.chat_template import pack
from libs.clock import SystemClock
from libs.errors import PlatformError
from loadtests.common.report import emit
from services.inference import convert
from services.inference.adapters.detokenizers import TokenizerDetokenizers
from services.inference.adapters.model_files import ModelFiles
from services.inference.domain.model import Capabilities, ModelCard
from services.inference.domain.output.delta import Delta
from services.inference.domain.output.parser import PlainParsers
from services.inference.domain.output.tokens import Step
from services.inference.ports import StepSink, TokenEngine
from services.inference.usecases.activity import Activity
from services.inference.usecases.generate import GenerateTokens, Generation
from services.inference.usecases.outputs import Outputs
from services.inference.usecases.sent import SentLog

TEXT = "The river turns the wheel of the old mill, and the mill grinds the corn of the whole valley. " * 40
REQUESTS = 2000


class IdleEngine(TokenEngine):
    """Takes work and does nothing with it."""

    def submit(self, work: Any, sink: StepSink) -> None:
        """See TokenEngine."""

    def abort(self, request_id: str) -> None:
        """See TokenEngine."""


class Encoding:
    """A caller as the worker's handler is one, without a call."""

    def __init__(self, epoch: int) -> None:
        self._epoch, self._encode = epoch, convert.PlainDeltas(epoch).encode

    def delta(self, delta: Delta) -> None:
        """See Caller."""
        convert.response(delta, self._epoch).SerializeToString()

    def plain(self, choice: int, first_index: int, token_ids: Sequence[int], text: str) -> None:
        """See Caller."""
        self._encode(choice, first_index, token_ids, text)

    def ended(self, error: PlatformError | None) -> None:
        """See Caller."""


class Bench:
    """One worker's output side."""

    def __init__(self, model: Path) -> None:
        files = ModelFiles.load(model)
        card = ModelCard("w", "b", "m", (), "", "", files.window_tokens, "idle")
        outputs = Outputs(TokenizerDetokenizers(files.tokenizer), PlainParsers())
        activity = Activity(SentLog(SystemClock(), entries_max=200_000, seconds=900.0))
        self.generate = GenerateTokens(IdleEngine(), card, Capabilities(), outputs, activity, SystemClock())
        self.tokens = files.tokenizer.encode(TEXT, add_special_tokens=False).ids

    def start(self, request: bytes) -> Generation:
        """A request from its bytes on."""
        work = convert.token_work(pb.GenerateRequest.FromString(request))
        return self.generate.start(work, Encoding(1))

    def per_token(self, stop: list[str]) -> float:
        """Microseconds of CPU per token."""
        request = pb.GenerateRequest(
            request_id="r", tokens=pb.TokenPrompt(ids=[1]), sampling=pb.Sampling(max_tokens=8000, stop=stop)
        )
        generation = self.start(request.SerializeToString())
        began = time.process_time()
        for token in self.tokens:
            generation.on_tokens(0, (token,))
        spent = time.process_time() - began
        generation.cancel()
        return 1e6 * spent / len(self.tokens)

    def per_request(self) -> float:
        """Microseconds of CPU for a request of 100 prompt tokens and one token of answer."""
        prompt = pb.TokenPrompt(packed=pack(range(100)))
        request = pb.GenerateRequest(request_id="r", tokens=prompt, sampling=pb.Sampling(max_tokens=1))
        data, last = request.SerializeToString(), Step(0, (self.tokens[0],), "length")
        began = time.process_time()
        for _ in range(REQUESTS):
            self.start(data).on_step(last)
        return 1e6 * (time.process_time() - began) / REQUESTS


async def measure(model: Path, rounds: int) -> dict[str, float]:
    """Medians of interleaved rounds."""
    bench = Bench(model)
    cases = {
        "plain_us_per_token": lambda: bench.per_token([]),
        "stop_us_per_token": lambda: bench.per_token(["zebra", "giraffe"]),
        "us_per_request": bench.per_request,
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default=Path(".headrace/models/smollm2-135m-instruct"))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out")
    args = parser.parse_args()
    emit("worker_output", {"rounds": args.rounds, **asyncio.run(measure(args.model, args.rounds))}, args.out)


if __name__ == "__main__":
    main()
