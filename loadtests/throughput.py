"""Tokens per second at batch 8 and 32 through the platform, against vLLM's own API server on the same cores.

Both serve the bundled model with the same engine settings and share all cores; one at a time is measured, the other is
idle. Fixed output length, distinct prompts, streaming. Rounds alternate; the ratio's median and lowest are reported.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from loadtests.common.client import stream
from loadtests.common.procs import Process, wait_for
from loadtests.common.report import emit, median
from loadtests.common.stack import MODEL, MODEL_NAME, Layout, Stack

TOKENS = 64
REFERENCE_PORT = 18390
ENGINE = {"max_num_seqs": 32, "max_model_len": 2048, "block_size": 32}


def reference(cores: str) -> Process:
    """VLLM's OpenAI server with the worker's engine settings."""
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL)]
    command += ["--served-model-name", MODEL_NAME, "--host", "127.0.0.1", "--port", str(REFERENCE_PORT)]
    command += ["--enforce-eager", "--dtype", "bfloat16", "--disable-uvicorn-access-log"]
    for name, value in ENGINE.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    env = {
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_OMP_THREADS_BIND": cores,
        "VLLM_LOGGING_LEVEL": "WARNING",
    }
    return Process("0,1", command, Path(tempfile.mkdtemp()) / "vllm.log", env)


def reference_ready() -> bool:
    """The reference server answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{REFERENCE_PORT}/health", timeout=2) as answer:
        return bool(answer.status == 200)


async def batch(port: int, size: int, serial: int, headers: dict[str, str]) -> float:
    """Tokens per second of `size` streams started together."""

    def body(index: int) -> dict[str, Any]:
        text = f"Story {serial}-{index}: tell a long tale about a river and the people who live beside it."
        messages = [{"role": "user", "content": text}]
        return {"model": MODEL_NAME, "messages": messages, "max_tokens": TOKENS, "ignore_eos": True, "temperature": 0}

    began = time.monotonic()
    answers = await asyncio.gather(*(stream(port, body(i), headers) for i in range(size)))
    seconds = time.monotonic() - began
    for answer in answers:
        if answer.error or answer.usage.get("completion_tokens") != TOKENS:
            raise RuntimeError(f"{answer.status} {answer.error} {answer.usage}")
    return size * TOKENS / seconds


def main() -> None:
    """Entry point: `python -m loadtests.throughput --rounds 5`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3, help="batches per round and system")
    parser.add_argument("--out")
    args = parser.parse_args()
    cores = f"0-{(os.cpu_count() or 1) - 1}"
    settings = ["--vllm.max_num_seqs", "32", "--vllm.window_tokens", "2048", "--vllm.block_size", "32"]
    layout = Layout(
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        engine="vllm",
        worker_args=[*settings, "--vllm.cpu_cores", cores],
    )
    rounds: list[dict[str, Any]] = []
    server = reference(cores)
    try:
        wait_for(reference_ready, 240, "vLLM's API server")
        with Stack(layout) as stack:
            systems = {
                "vllm": (REFERENCE_PORT, {}),
                "headrace": (stack.rest_port, {"authorization": f"Bearer {stack.key}"}),
            }
            for serial in range(args.rounds + 1):
                one = {
                    name: {
                        str(size): median(
                            [asyncio.run(batch(port, size, serial * 100 + k, headers)) for k in range(args.repeat)]
                        )
                        for size in (8, 32)
                    }
                    for name, (port, headers) in (systems.items() if serial % 2 else reversed(systems.items()))
                }
                rounds.append(one)
    finally:
        server.stop()
    rounds = rounds[1:]  # the first round warms both up
    ratios = {size: [r["headrace"][size] / r["vllm"][size] for r in rounds] for size in ("8", "32")}
    summary = {size: {"median": median(values), "lowest": min(values)} for size, values in ratios.items()}
    emit("throughput", {"tokens_per_second_ratio": summary, "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
