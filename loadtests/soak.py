"""500 streams at 20 ms per token for a minute: nothing ends early, frames arrive in time, memory stays flat.

The gateway has core 0 for itself; router, worker, engine and generator share core 1, whose busy share is printed: a
round over 85 % is void. The simulated engine writes the generator's time stamps into its frames, so transit is worker
write to client read. Beside it: generator to mock directly, in the same run.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path
from typing import Any

from loadtests.common import load
from loadtests.common.procs import Process, cpu_seconds, rss_mb
from loadtests.common.report import emit
from loadtests.common.stack import MODEL_NAME, Layout, Stack

BUSY_MAX = 0.85


def args_of(seconds: int, streams: int, model: str) -> list[str]:
    """The generator's arguments."""
    head = ["stream", "-c", str(streams), "-s", str(seconds), "-w", "5", "--pace", "20", "--first", "20"]
    return [*head, "--frames", "500", "--prompt-bytes", "400", "--model", model]


def direct(llmload: str, seconds: int, streams: int) -> dict[str, Any]:
    """Generator to mock, both on core 1."""
    mock = Process("1", [llmload, "mock"], Path(tempfile.mkdtemp()) / "mock.log")
    try:
        groups = {"mock": [mock.pid]}
        window = load.run(
            llmload, args_of(seconds, streams, "mock"), target="127.0.0.1:18100", headers=[], groups=groups, core="1"
        )
    finally:
        mock.stop()
    return window.result


def sample_rss(pid: int, out: list[float], stop: threading.Event) -> None:
    """Adds the resident memory in MB once a second."""
    while not stop.wait(1.0):
        out.append(rss_mb(pid))


def platform(llmload: str, seconds: int, streams: int) -> dict[str, Any]:
    """One round through the platform."""
    simulated = ["--simulated.ttft_ms", "20", "--simulated.inter_token_ms", "20", "--simulated.stamp", "true"]
    layout = Layout(
        gateway_core="0",
        inner_core="1",
        worker_core="1",
        worker_args=[*simulated, "--simulated.running_max", "1024"],
    )
    with Stack(layout) as stack:
        headers = [f"authorization: Bearer {stack.key}", "x-session-id: soak-{session}"]
        gateway = stack.pids("gateway")
        groups = {"gateway": gateway, "inner": stack.pids("router", "inference-0", "valkey") + stack.engine_pids()}
        memory: list[float] = []
        stop = threading.Event()
        watcher = threading.Thread(target=sample_rss, args=(gateway[0], memory, stop))
        watcher.start()
        try:
            window = load.run(
                llmload,
                args_of(seconds, streams, MODEL_NAME),
                target=f"127.0.0.1:{stack.rest_port}",
                headers=headers,
                groups=groups,
                core="1",
            )
        finally:
            stop.set()
            watcher.join()
        busy = (window.cpu["inner"] + window.cpu["generator"]) / window.wall_seconds
        tail = memory[len(memory) // 3 :]
        return {
            "core0_busy": window.cpu["gateway"] / window.wall_seconds,
            "core1_busy": busy,
            "void": busy > BUSY_MAX,
            "gateway_rss_mb": {"max": max(memory), "growth_last_two_thirds": tail[-1] - tail[0]},
            "gateway_cpu_total_s": cpu_seconds(gateway),
            "load": window.result,
        }


def main() -> None:
    """Entry point: `python -m loadtests.soak --seconds 60`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out")
    args = parser.parse_args()
    llmload = load.build()
    rounds = []
    for _ in range(args.rounds):
        mock = direct(llmload, min(args.seconds, 15), args.streams)
        rounds.append({"direct": mock, "headrace": platform(llmload, args.seconds, args.streams)})
    emit("soak", {"streams": args.streams, "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
