"""CPU that telling of KV blocks costs a worker, without sockets: `python -m loadtests.kv_events`.

The simulated engine's steps with nobody listening and with blocks told (interleaved); vLLM's events, from their bytes
to the set that watchers hear of; messages and snapshots; and what a gateway pays per call for its report.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import count

import msgspec

from libs.chat_template import pack
from libs.clock import SystemClock
from loadtests.common.report import emit
from services.gateway.domain.record import CallRecord
from services.gateway.usecases.outcomes import OutcomeLog
from services.inference.adapters.simulated.protocol import Add, Start, frame
from services.inference.adapters.simulated.scheduler import Scheduler
from services.inference.adapters.vllm.engine_blocks import BlockRemoved, BlockStored, EngineBlocks, EventBatch
from services.inference.domain.cached_blocks import CachedBlocks
from services.inference.domain.model import EngineLoad
from services.inference.usecases.activity import Activity
from services.inference.usecases.sent import SentLog
from services.inference.usecases.watch import StateBoard

BLOCK_TOKENS = 16
REQUESTS, PROMPT_TOKENS, ANSWER_TOKENS = 64, 512, 256
CALLS = 5000


def cpu_us(work: Callable[[], object], units: int) -> float:
    """Microseconds of CPU per unit."""
    began = time.process_time()
    work()
    return 1e6 * (time.process_time() - began) / units


def step_us_per_token(*, told: bool) -> float:
    """A token of the simulated engine, in steps of 64 requests."""
    start = Start(b"", 1, 0.0, 0.0, 0.0, 0.0, BLOCK_TOKENS, 16_384, 1024, tells_blocks=told)
    scheduler = Scheduler(start, list(range(50, 9000)))
    for key in range(REQUESTS):
        prompt = pack(range(key, key + PROMPT_TOKENS))
        scheduler.add(
            Add(
                key=key, prompt=prompt, output=b"", salt="s", seed=0, max_tokens=ANSWER_TOKENS, min_tokens=0,
                ignore_eos=False, stop_ids=[], presence=0.0, frequency=0.0, repetition=1.0, bias={}, logprobs=-1,
                script=None, script_at=0,
            ),
            0.0,
        )  # fmt: skip
    now = scheduler.step(0.0) and 1.0

    def run() -> None:
        nonlocal now
        while scheduler.busy:
            now += 1.0
            frame(scheduler.step(now))

    return cpu_us(run, REQUESTS * (ANSWER_TOKENS - 1))


def vllm_us_per_block(blocks: int) -> float:
    """An event of `blocks` blocks of vLLM's, and their removal later, from bytes to the told set."""
    decode = msgspec.msgpack.Decoder(EventBatch).decode
    numbers, payloads = count(), []
    for _ in range(max(1, 2048 // blocks)):
        names: list[bytes | int] = [next(numbers).to_bytes(32, "big") for _ in range(blocks)]
        tokens = [next(numbers) % 50_000 for _ in range(blocks * BLOCK_TOKENS)]
        salts: list[list[object] | None] = [["s"], *[None] * (blocks - 1)]
        stored = BlockStored(names, None, tokens, BLOCK_TOKENS, "GPU", extra_keys=salts)
        payloads.append(msgspec.msgpack.encode(EventBatch(0.0, [stored])))
        payloads.append(msgspec.msgpack.encode(EventBatch(0.0, [BlockRemoved([name]) for name in names])))
    cache = CachedBlocks(400_000)
    engine = EngineBlocks(BLOCK_TOKENS, cache)

    def run() -> None:
        for payload in payloads:
            engine.apply(decode(payload).events)

    return cpu_us(run, len(payloads) // 2 * blocks)


def board_of(blocks: CachedBlocks) -> StateBoard:
    """A board whose engine idles."""
    activity = Activity(SentLog(SystemClock(), entries_max=1000, seconds=60.0))
    return StateBoard(
        lambda: EngineLoad(0, 0, 0.0, healthy=True),
        activity,
        SystemClock(),
        blocks,
        beat_seconds=0.2,
        stall_seconds=60.0,
    )


def message_us(new_blocks: int) -> float:
    """A message to one watcher with so many blocks that have come."""
    blocks, numbers = CachedBlocks(1_000_000), count()
    board = board_of(blocks)
    board.watch(lambda _state: None, lambda: None)

    def run() -> None:
        for _ in range(500):
            blocks.stored([next(numbers) for _ in range(new_blocks)])
            board.publish()

    return cpu_us(run, 500)


def snapshot_ms(held: int) -> float:
    """All blocks, for a watcher that has come."""
    blocks = CachedBlocks(1_000_000)
    blocks.stored(range(held))
    board = board_of(blocks)
    return cpu_us(lambda: board.watch(lambda _state: None, lambda: None), 1) / 1000


def report_us_per_call() -> float:
    """A call's end in the gateway's sums."""
    log = OutcomeLog()
    record = CallRecord("r", "t", "m", worker="a", boot_id="b", first_token_ms=12.0)

    def run() -> None:
        for _ in range(CALLS):
            log.ended(record)

    return cpu_us(run, CALLS)


def measure(rounds: int) -> dict[str, float]:
    """Medians of interleaved rounds."""
    cases: dict[str, Callable[[], float]] = {
        "simulated_us_per_token_untold": lambda: step_us_per_token(told=False),
        "simulated_us_per_token_told": lambda: step_us_per_token(told=True),
        "vllm_us_per_block_of_1": lambda: vllm_us_per_block(1),
        "vllm_us_per_block_of_256": lambda: vllm_us_per_block(256),
        "message_us_no_blocks": lambda: message_us(0),
        "message_us_64_blocks": lambda: message_us(64),
        "snapshot_ms_30000_blocks": lambda: snapshot_ms(30_000),
        "snapshot_ms_400000_blocks": lambda: snapshot_ms(400_000),
        "gateway_us_per_call": report_us_per_call,
    }
    found: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            found[name].append(case())
    return {name: round(statistics.median(values), 2) for name, values in found.items()}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out")
    args = parser.parse_args()
    emit("kv_events", {"rounds": args.rounds, **measure(args.rounds)}, args.out)


if __name__ == "__main__":
    main()
