"""What binding sessions to workers is worth: time to first token and cached tokens, bound against random placement.

Eight sessions of six turns, each with its own system prompt of about 1,000 tokens, arrivals shuffled by a seed.
`bound` sends an explicit session id; `random` sends a fresh affinity key per call, which the router places by hash
(seeded, so a random placement that can be repeated). `one` is a single worker: the hit rate nothing can beat.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from typing import Any

from loadtests.common.client import Answer, stream
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import MODEL_NAME, Layout, Stack

SESSIONS, TURNS, ANSWER_TOKENS = 8, 6, 16
WORDS = [
    "river",
    "stone",
    "mill",
    "wheel",
    "water",
    "gate",
    "valley",
    "bridge",
    "boat",
    "field",
    "grain",
    "miller",
    "storm",
    "spring",
    "winter",
    "harvest",
]


def system_prompt(session: int, run: int) -> str:
    """About 1,000 tokens that no other session shares."""
    rng = random.Random(1000 * run + session)
    return f"Session {run}-{session}. " + " ".join(rng.choice(WORDS) for _ in range(930))


async def turn(stack: Stack, histories: dict[int, list[dict[str, str]]], session: int, mode: str, run: int) -> Answer:
    """One turn of a session; its history grows by the answer."""
    history = histories.setdefault(session, [{"role": "system", "content": system_prompt(session, run)}])
    history.append({"role": "user", "content": f"Step {len(history)}: name one thing from the list."})
    headers = {"authorization": f"Bearer {stack.key}"}
    body: dict[str, Any] = {"model": MODEL_NAME, "messages": history, "max_tokens": ANSWER_TOKENS, "temperature": 0}
    if mode == "random":
        body["prompt_cache_key"] = f"{run}-{session}-{len(history)}"
    else:
        headers["x-session-id"] = f"{mode}-{run}-{session}"
    answer = await stream(stack.rest_port, body, headers)
    if answer.error or not answer.done:
        raise RuntimeError(f"session {session}: {answer.status} {answer.error}")
    history.append({"role": "assistant", "content": answer.text()})
    return answer


async def play(stack: Stack, mode: str, run: int, parallel: int) -> dict[str, Any]:
    """All turns of all sessions in shuffled order, at most `parallel` sessions at a time."""
    histories: dict[int, list[dict[str, str]]] = {}
    ttfts: list[float] = []
    prompt = cached = 0
    rng = random.Random(run)
    for number in range(TURNS):
        order = rng.sample(range(SESSIONS), SESSIONS)
        for start in range(0, SESSIONS, parallel):
            group = order[start : start + parallel]
            answers = await asyncio.gather(*(turn(stack, histories, s, mode, run) for s in group))
            if number:
                ttfts += [a.ttft for a in answers]
                prompt += sum(a.usage["prompt_tokens"] for a in answers)
                cached += sum(a.usage["prompt_tokens_details"]["cached_tokens"] for a in answers)
    return {
        "ttft_p90_ms": 1e3 * quantile(ttfts, 0.9),
        "ttft_p50_ms": 1e3 * quantile(ttfts, 0.5),
        "prompt_tokens": prompt,
        "uncached_tokens": prompt - cached,
        "hit_rate": cached / prompt,
    }


def layout(engine: str, workers: int, base_port: int) -> Layout:
    """Workers with room for all sessions; a vLLM worker has a core of its own."""
    if engine == "vllm":
        own = [["--vllm.cpu_cores", str(i % 2)] for i in range(workers)]
        args = ["--vllm.window_tokens", "4096", "--vllm.max_num_seqs", "8"]
    else:
        own = []
        args = [
            "--simulated.prefill_ms_per_token",
            "0.5",
            "--simulated.inter_token_ms",
            "2",
            "--simulated.ttft_ms",
            "2",
        ]
    return Layout(
        base_port=base_port,
        workers=workers,
        engine=engine,
        gateway_core="0,1",
        inner_core="0,1",
        worker_core="0,1",
        worker_args=args,
        per_worker_args=own,
    )


def measure(engine: str, workers: int, rounds: int, parallel: int) -> dict[str, Any]:
    """Bound against random on the same workers, interleaved; then one worker for the best possible hit rate."""
    plays: list[dict[str, Any]] = []
    with Stack(layout(engine, workers, 18300)) as stack:
        asyncio.run(play(stack, "bound", 999, parallel))
        for run in range(rounds):
            modes = ["bound", "random"] if run % 2 else ["random", "bound"]
            plays.append(
                {mode: asyncio.run(play(stack, mode, 2 * run + (mode == "bound"), parallel)) for mode in modes}
            )
    with Stack(layout(engine, 1, 18300)) as stack:
        one = asyncio.run(play(stack, "bound", 0, parallel))
    return {
        "workers": workers,
        "ttft_p90_ratio": median([p["random"]["ttft_p90_ms"] / p["bound"]["ttft_p90_ms"] for p in plays]),
        "hit_rate_of_one_worker": median([p["bound"]["hit_rate"] for p in plays]) / one["hit_rate"],
        "one_worker": one,
        "rounds": plays,
    }


def main() -> None:
    """Entry point: `python -m loadtests.affinity --rounds 3`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--engines", default="vllm,simulated")
    parser.add_argument("--out")
    args = parser.parse_args()
    sizes = {"vllm": 2, "simulated": 4}
    result = {name: measure(name, sizes[name], args.rounds, args.parallel) for name in args.engines.split(",")}
    emit("affinity", result, args.out)


if __name__ == "__main__":
    main()
