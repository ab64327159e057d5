"""CPU per request and per frame of gateway + router + worker, against Envoy as a byte relay in the same run.

The engine is simulated at 0 ms in a child process of the worker, as vLLM's is, and is not counted; neither are the
generator and the mock. Key checked, explicit session, two messages, about 100 prompt tokens, every prompt another one.
Rows: `request` = 1 token out, 64 callers; `frame` = 64 tokens out, 64 callers in a closed loop; `paced` = 500 streams
at 20 ms per frame. A frame is one token: an engine that outruns its reader gets several into one event, and the
generator counts each token's stamp, as it counts each frame of the mock however Envoy cuts them. Rounds alternate
between the two systems; figures are medians over rounds, with the ratio.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loadtests.common import load
from loadtests.common.procs import Process, wait_for
from loadtests.common.report import emit, median
from loadtests.common.stack import MODEL_NAME, Layout, Stack

ROWS = {
    "request": ["closed", "-c", "64", "-s", "4", "-w", "1", "--max-tokens", "1"],
    "frame": ["stream", "-c", "64", "-s", "4", "-w", "1.5", "--pace", "0", "--first", "0"],
    "paced": ["stream", "-c", "500", "-s", "5", "-w", "3", "--pace", "20", "--first", "20"],
}
PROMPT = ["--prompt-bytes", "400", "--sessions", "500"]
CONF = Path(__file__).parent / "conf/envoy.yaml"


def measure_envoy(llmload: str, rows: list[str]) -> dict[str, Any]:
    """One round of Envoy before the mock."""
    directory = Path(tempfile.mkdtemp(prefix="headrace-envoy-"))
    envoy = shutil.which("envoy", path=str(Path(sys.executable).parent)) or "envoy"
    mock = Process("1", [llmload, "mock"], directory / "mock.log")
    relay = Process(
        "0",
        [envoy, "-c", str(CONF), *["--concurrency", "1", "-l", "error", "--disable-hot-restart"]],
        directory / "e.log",
    )
    try:
        wait_for(lambda: _answers("127.0.0.1:18201", "/health"), 20, "envoy")
        return {
            row: _window(llmload, row, "127.0.0.1:18201", "mock", [], {"system": [relay.pid], "mock": [mock.pid]})
            for row in rows
        }
    finally:
        relay.stop()
        mock.stop()


def measure_ours(llmload: str, rows: list[str]) -> dict[str, Any]:
    """One round of the platform; the paced row has its own worker settings."""
    out: dict[str, Any] = {}
    for row in rows:
        pace = ["20", "20"] if row == "paced" else ["0", "0"]
        layout = Layout(
            worker_core="0",
            engine_core="1",
            worker_args=[
                *("--simulated.ttft_ms", pace[0], "--simulated.inter_token_ms", pace[1], "--simulated.stamp", "true"),
                *("--simulated.running_max", "1024"),
            ],
        )
        with Stack(layout) as stack:
            headers = [f"authorization: Bearer {stack.key}", "x-session-id: bench-{session}"]
            services = ("gateway", "router", "inference-0")
            groups = {
                "system": stack.pids(*services),
                "engine": stack.engine_pids(),
                **{name: stack.pids(name) for name in services},
            }
            out[row] = _window(llmload, row, f"127.0.0.1:{stack.rest_port}", MODEL_NAME, headers, groups)
    return out


def _window(
    llmload: str, row: str, target: str, model: str, headers: list[str], groups: dict[str, list[int]]
) -> dict[str, Any]:
    args = [*ROWS[row], *PROMPT, "--model", model]
    window = load.run(llmload, args, target=target, headers=headers, groups=groups, core="1")
    units = window.result.get("frames", window.result["requests"])
    if window.result["errors"] or not units:
        raise RuntimeError(f"{row} on {target}: {window.result}")
    per_unit = {name: 1e6 * seconds / units for name, seconds in window.cpu.items()}
    share = (window.cpu["generator"] + window.cpu.get("mock", 0) + window.cpu.get("engine", 0)) / window.wall_seconds
    return {"units_per_s": units / window.wall_seconds, "cpu_us": per_unit, "core1_busy": share, "raw": window.result}


def _answers(target: str, path: str) -> bool:
    import urllib.request

    with urllib.request.urlopen(f"http://{target}{path}", timeout=1) as answer:
        return bool(answer.status == 200)


def summary(rounds: list[dict[str, Any]], rows: list[str]) -> dict[str, Any]:
    """Medians and ratios per row."""
    out: dict[str, Any] = {}
    for row in rows:
        ours = [r["headrace"][row]["cpu_us"] for r in rounds]
        envoy = median([r["envoy"][row]["cpu_us"]["system"] for r in rounds])
        total = median([o["system"] for o in ours])
        out[row] = {
            "headrace_us": total,
            "envoy_us": envoy,
            "ratio": total / envoy,
            "ratio_rounds": [
                r["headrace"][row]["cpu_us"]["system"] / r["envoy"][row]["cpu_us"]["system"] for r in rounds
            ],
            "parts_us": {name: median([o[name] for o in ours]) for name in ("gateway", "router", "inference-0")},
        }
    return out


def main() -> None:
    """Entry point: `python -m loadtests.relay --rounds 5`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", default="request,frame,paced")
    parser.add_argument("--out")
    args = parser.parse_args()
    llmload, rows = load.build(), args.rows.split(",")
    systems: dict[str, Callable[[str, list[str]], dict[str, Any]]] = {"envoy": measure_envoy, "headrace": measure_ours}
    rounds = []
    for _ in range(args.rounds):
        order = random.sample(sorted(systems), 2)
        rounds.append({name: systems[name](llmload, rows) for name in order})
    emit("relay", {"summary": summary(rounds, rows), "rounds": rounds}, args.out)


if __name__ == "__main__":
    main()
