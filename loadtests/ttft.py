"""Time to first token that the platform adds for one caller, against the worker's own gRPC in the same run.

Simulated engine at 0 ms, one explicit session per round, streams of 8 tokens. Rounds alternate; per round the p50 and
p99 of both ways are subtracted, and the medians over the rounds reported.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from typing import Any

import grpc
from headrace.common.v1 import turns_pb2
from headrace.inference.v1 import inference_pb2 as pb

from loadtests.common.client import stream
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import MODEL_NAME, Layout, Stack

SERVICE = "/headrace.inference.v1.InferenceService"
TEXT = "Tell me one more short fact about rivers. " * 9


def turns(serial: int) -> list[turns_pb2.Turn]:
    """Two messages, about 100 tokens; every prompt another one."""
    user = f"Note {serial}. {TEXT}"
    return [
        turns_pb2.Turn(role=turns_pb2.ROLE_SYSTEM, text="You are terse."),
        turns_pb2.Turn(role=turns_pb2.ROLE_USER, text=user),
    ]


def direct(stack: Stack, calls: int, base: int) -> list[float]:
    """Seconds to the first token over the worker's stock gRPC, prompts tokenised beforehand."""
    metadata = (("x-headrace-token", "loadtest-internal-token"), ("x-headrace-identity", "gateway"))
    with grpc.insecure_channel(f"127.0.0.1:{stack.worker_port(0)}") as channel:
        render = channel.unary_unary(
            f"{SERVICE}/Render",
            request_serializer=pb.RenderRequest.SerializeToString,
            response_deserializer=pb.RenderResponse.FromString,
        )
        generate = channel.unary_stream(
            f"{SERVICE}/Generate",
            request_serializer=pb.GenerateRequest.SerializeToString,
            response_deserializer=pb.GenerateResponse.FromString,
        )
        out = []
        for serial in range(base, base + calls):
            rendered = render(pb.RenderRequest(model=MODEL_NAME, turns=turns(serial)), metadata=metadata, timeout=10)
            request = pb.GenerateRequest(
                request_id=f"direct-{serial}",
                model=MODEL_NAME,
                tokens=pb.TokenPrompt(ids=rendered.token_ids),
                sampling=pb.Sampling(max_tokens=8, ignore_eos=True),
            )
            began = time.perf_counter()
            answer = generate(request, metadata=metadata, timeout=10)
            next(answer)
            out.append(time.perf_counter() - began)
            for _ in answer:
                pass
        return out


async def through(stack: Stack, calls: int, base: int) -> list[float]:
    """Seconds to the first content event over REST."""
    headers = {"authorization": f"Bearer {stack.key}", "x-session-id": f"ttft-{base}"}
    out = []
    for serial in range(base, base + calls):
        messages = [
            {"role": "system", "content": "You are terse."},
            {"role": "user", "content": f"Note {serial}. {TEXT}"},
        ]
        body = {"model": MODEL_NAME, "messages": messages, "max_tokens": 8, "ignore_eos": True}
        answer = await stream(stack.rest_port, body, headers)
        if answer.error or not answer.done:
            raise RuntimeError(f"call {serial}: {answer.status} {answer.error}")
        out.append(answer.ttft)
    return out


def figures(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    return {"p50_ms": 1e3 * quantile(seconds, 0.5), "p99_ms": 1e3 * quantile(seconds, 0.99)}


def main() -> None:
    """Entry point: `python -m loadtests.ttft --rounds 5 --calls 400`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=400)
    parser.add_argument("--out")
    args = parser.parse_args()
    layout = Layout(
        gateway_core="0",
        inner_core="0",
        worker_core="0",
        worker_args=["--simulated.ttft_ms", "0", "--simulated.inter_token_ms", "0"],
    )
    rounds: list[dict[str, Any]] = []
    with Stack(layout) as stack:
        direct(stack, 50, 0)
        asyncio.run(through(stack, 50, 0))
        for number in range(1, args.rounds + 1):
            base = number * 1_000_000
            one = {"direct": figures(direct(stack, args.calls, base))}
            one["headrace"] = figures(asyncio.run(through(stack, args.calls, base + 500_000)))
            rounds.append(one)
    added = {key: median([r["headrace"][key] - r["direct"][key] for r in rounds]) for key in ("p50_ms", "p99_ms")}
    emit("ttft", {"added": added, "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
