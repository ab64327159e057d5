"""CPU of the gateway's pipeline alone: no tokenising, no transport, no wire.

A bound session, its owner cached, its tokenizer cached; channels that answer at once with ready-made messages, so that
what is left is the pipeline and its conversion to and from protobuf. Prints JSON, medians of interleaved rounds:

    python loadtests/gateway_pipeline.py [--rounds 7] [--profile]
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import json
import logging
import pstats
import random
import statistics
import time
from functools import partial
from pathlib import Path

import structlog
from headrace.inference.v1 import inference_pb2 as ipb
from headrace.router.v1 import router_pb2 as rpb

from libs.clock import SystemClock
from libs.resilience.breaker import BreakerRule
from libs.resilience.retry_budget import RetryBudget
from libs.rpc.replicas import ReplicatedChannel
from services.gateway.adapters.quarantine import MemorySuspects
from services.gateway.adapters.router import RpcRouter
from services.gateway.adapters.workers import Channels, RpcWorkers
from services.gateway.domain.models import Capabilities, ModelInfo
from services.gateway.domain.prompt import EncodedPrompt
from services.gateway.domain.salt import CacheSalts
from services.gateway.domain.turns import ChatRequest, Principal, Role, Sampling, SessionClaim, Turn
from services.gateway.usecases.attempts import Means, RunnerLimits
from services.gateway.usecases.breakers import Breakers
from services.gateway.usecases.call import Services
from services.gateway.usecases.chat import ChatPipeline
from services.gateway.usecases.ledger.charge import Charges
from services.gateway.usecases.ledger.testing import null_charges
from services.gateway.usecases.prepare import PrepareLimits, Preparer
from services.gateway.usecases.quarantine import Quarantine
from services.gateway.usecases.sessions import SessionGuard, SessionLimits
from services.gateway.usecases.waiting import WaitingRoom, WaitLimits

INFO = ModelInfo(
    "m", "m", "d" * 64, "t" * 64, 8192, capabilities=Capabilities(seed=True, resume=True), addresses=("a",)
)
PLAN = rpb.PlaceResponse(
    candidates=[
        rpb.Candidate(worker=f"w{i}", address=f"w{i}", boot_id="b", model_digest=INFO.model_digest, reason="bound")
        for i in range(2)
    ]
)
REQUEST = ChatRequest(
    "m",
    (Turn(Role.SYSTEM, "You are a helpful assistant."), Turn(Role.USER, "Hello there")),
    session=SessionClaim(explicit="session-1", source="x-session-id"),
    # More than any answer here has: one that is cut would be measured as a cheap one.
    sampling=Sampling(max_tokens=1024, temperature=0.0),
)


class ReadyStream:
    """Hands out ready-made responses, `size` at a time."""

    def __init__(self, responses: list[ipb.GenerateResponse], size: int) -> None:
        self._batches = [responses[i : i + size] for i in range(0, len(responses), size)]
        self._at = 0

    async def next_batch(self) -> list[ipb.GenerateResponse]:
        """The next ready batch."""
        at = self._at
        self._at = at + 1
        return self._batches[at] if at < len(self._batches) else []

    def cancel(self) -> None:
        """Nothing runs."""


class ReadyChannel:
    """Answers everything at once."""

    address = "ready"

    def __init__(self) -> None:
        self.responses: list[ipb.GenerateResponse] = []
        self.size = 1

    async def call(self, *_: object, **__: object) -> rpb.PlaceResponse:
        """Every unary call is a Place."""
        return PLAN

    def stream(self, *_: object, **__: object) -> ReadyStream:
        """Every stream is a Generate."""
        return ReadyStream(self.responses, self.size)

    async def close(self) -> None:
        """Nothing is open."""


class ReadyParts:
    """Catalog, encoders, encoder and owners in one: each answers from memory."""

    prompt = EncodedPrompt(b"\x01\x00\x00\x00" * 100, 100)

    def find(self, _: str) -> ModelInfo:
        """See ports.Catalog."""
        return INFO

    def models(self) -> list[ModelInfo]:
        """See ports.Catalog."""
        return [INFO]

    def connected(self) -> bool:
        """See ports.Catalog."""
        return True

    def cached(self, _: ModelInfo) -> ReadyParts:
        """See ports.Encoders."""
        return self

    async def encode(self, *_: object) -> EncodedPrompt:
        """See ports.Encoder."""
        return self.prompt

    async def claim(self, _: str, __: str, owner: str) -> str:
        """See ports.Owners."""
        return owner


def responses(count: int) -> list[ipb.GenerateResponse]:
    """An answer of `count` tokens, one delta each."""
    made = [ipb.GenerateResponse(first_index=i, token_ids=[i], text="word ") for i in range(count)]
    for edge in (made[0], made[-1]):
        edge.usage.prompt_tokens, edge.usage.cached_tokens = 100, 96
    made[-1].finish = ipb.FINISH_REASON_LENGTH
    return made


def pipeline(channel: ReadyChannel, charges: Charges | None = None) -> ChatPipeline:
    """The real pipeline over parts that cost nothing, the ledger included unless `charges` brings a real one."""
    clock, parts = SystemClock(), ReadyParts()
    workers = RpcWorkers(Channels(lambda _: channel, clock))
    room = WaitingRoom(clock, WaitLimits())
    means = Means(
        RpcRouter(ReplicatedChannel([channel], clock, random=random.random)),
        workers,
        RetryBudget(clock.monotonic),
        RunnerLimits(),
        room,
        Breakers(clock, BreakerRule()),
        Quarantine(MemorySuspects(clock, 60.0), partial(workers.died, timeout=0.25), clock, b"pepper"),
    )
    preparer = Preparer(parts, CacheSalts(b"pepper"), clock, PrepareLimits())
    return ChatPipeline(
        Services(
            parts, SessionGuard(parts, clock, SessionLimits()), preparer, means, charges or null_charges(clock), clock
        )
    )


async def calls(pipe: ChatPipeline, count: int) -> float:
    """CPU seconds per call."""
    principal, clock = Principal("acme", "key-1"), SystemClock()
    began = time.process_time()
    for _ in range(count):
        async for _batch in pipe.chat(REQUEST, principal, request_id="chatcmpl-0", deadline=clock.monotonic() + 60):
            pass
    return (time.process_time() - began) / count


async def measure(rounds: int) -> dict[str, float]:
    """Medians in microseconds: a call with one delta, and each further delta alone and in batches of eight."""
    channel = ReadyChannel()
    pipe = pipeline(channel)
    found: dict[str, list[float]] = {"request_us": [], "delta_us": [], "delta_in_batch_of_8_us": []}
    for _ in range(rounds):
        channel.responses, channel.size = responses(1), 1
        request = await calls(pipe, 2000)
        found["request_us"].append(request * 1e6)
        channel.responses = responses(257)
        for name, size in (("delta_us", 1), ("delta_in_batch_of_8_us", 8)):
            channel.size = size
            found[name].append((await calls(pipe, 60) - request) / 256 * 1e6)
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


async def profile() -> None:
    """Where the time of a one-token call goes."""
    channel = ReadyChannel()
    channel.responses = responses(1)
    pipe = pipeline(channel)
    await calls(pipe, 100)
    watch = cProfile.Profile()
    watch.enable()
    await calls(pipe, 5000)
    watch.disable()
    pstats.Stats(watch).sort_stats("tottime").print_stats(25)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--profile", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    if arguments.profile:
        asyncio.run(profile())
        return
    print(json.dumps({"benchmark": Path(__file__).stem, **asyncio.run(measure(arguments.rounds))}, indent=2))


if __name__ == "__main__":
    main()
