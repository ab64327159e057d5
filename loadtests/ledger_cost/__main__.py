"""CPU and latency that key, limits and holds add to a call: the real gateway against one without its money.

One stack: Valkey (append-only file, synced every second), a router, a worker with a simulated engine, and two gateways,
`real` as it is and `bare` (see bare.py): the same service, but any key is taken for one principal and holds are granted
in process. Both are pinned to core 0 and idle but for their turn; all else, the generator included, is on core 1. The
caller's key has requests/min, tokens/min, parallel requests and a budget with a window, and so has its tenant; calls
name one of 500 sessions: four scopes. Calls have about 100 prompt tokens, another prompt each, and 1 token out; no
request records are kept, for they are no part of the question.

Rows: `closed` = 64 callers, each asking again when it is answered: the gateway is busy all the time, so this is CPU per
request. With `--engine-ms 50` most of the 64 wait for the engine instead, and `closed` is the latency of 64 callers.
`open` = calls at a fixed rate over at most 64 connections, at a quarter of what `bare` does in `closed`: this is
latency, where nobody queues for the CPU for long. Rounds alternate between both gateways in random order. CPU is user +
system of exactly the gateway's process (and of Valkey's) from /proc over the measured window, per request.
`valkey_call_us` is what the store itself says that one of its functions took. Figures are medians over rounds; `added`
is real - bare of the medians, `added_rounds` round by round.

`--profile` then samples both gateways' stacks over one `closed` window each, and lists the functions whose share
differs most, in µs per request.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

from redis import Redis

from loadtests.common import load
from loadtests.common.accounts import Account, new_account
from loadtests.common.procs import wait_for
from loadtests.common.report import emit, median
from loadtests.common.stack import MODEL_NAME, Layout, Stack
from loadtests.ledger_cost.profile import differences

PROMPT = ["--prompt-bytes", "400", "--sessions", "500", "--max-tokens", "1", "--model", MODEL_NAME]
GATEWAYS = {"real": 0, "bare": 1}
SHARE_OPEN = 0.25
BOUNDS = {
    "requests_per_minute": 100_000_000,
    "tokens_per_minute": 150_000_000,
    "parallel_requests": 100_000,
    "budgets": [{"duration": "30d", "limit_usd": "1000000"}],
}


class Bench:
    """A stack with both gateways, and a key with limits."""

    def __init__(self, stack: Stack, account: Account, llmload: str, seconds: float) -> None:
        self._stack = stack
        self._account = account
        self._llmload = llmload
        self._store = Redis.from_url(stack.valkey_url)
        self._seconds = ["-c", "64", "-s", str(seconds), "-w", "1.5"]

    def closed(self, name: str) -> dict[str, Any]:
        """64 callers in a closed loop."""
        return self._window(name, "closed")

    def open(self, name: str, rate: float) -> dict[str, Any]:
        """A fixed rate."""
        return self._window(name, "open", "-r", str(rate))

    def _window(self, name: str, mode: str, *more: str) -> dict[str, Any]:
        stack, index = self._stack, GATEWAYS[name]
        self._store.config_resetstat()
        process = f"gateway-{index}" if index else "gateway"
        window = load.run(
            self._llmload,
            [mode, *self._seconds, *more, *PROMPT],
            target=f"127.0.0.1:{stack.gateway_port(index)}",
            headers=[f"authorization: Bearer {self._account.secret}", "x-session-id: bench-{session}"],
            groups={"gateway": stack.pids(process), "valkey": stack.pids("valkey")},
            core="1",
        )
        calls = self._store.info("commandstats")
        requests = window.result["requests"]
        if window.result["errors"] or not requests:
            raise RuntimeError(f"{name} {mode}: {window.result}")
        latency = window.result["latency_us"]
        return {
            "requests_per_s": requests / window.wall_seconds,
            "gateway_us": 1e6 * window.cpu["gateway"] / requests,
            "valkey_us": 1e6 * window.cpu["valkey"] / requests,
            "gateway_busy": window.cpu["gateway"] / window.wall_seconds,
            "p50_ms": latency["p50"] / 1e3,
            "p99_ms": latency["p99"] / 1e3,
            "valkey_call_us": calls.get("cmdstat_fcall", {}).get("usec_per_call", 0.0),
        }

    def round(self, rate: float) -> dict[str, dict[str, dict[str, Any]]]:
        """Both gateways in both rows."""
        found: dict[str, dict[str, dict[str, Any]]] = {"closed": {}, "open": {}}
        for name in random.sample(sorted(GATEWAYS), len(GATEWAYS)):
            found["closed"][name] = self.closed(name)
        for name in random.sample(sorted(GATEWAYS), len(GATEWAYS)):
            found["open"][name] = self.open(name, rate)
        return found

    def profile(self) -> dict[str, Any]:
        """Both gateways again, sampled."""
        samples, per_second = {}, {}
        for name, index in GATEWAYS.items():
            process = f"gateway-{index}" if index else "gateway"
            self._stack.processes[process].stop()
            os.environ["HEADRACE_BENCH"] = name
            self._stack.start_gateway(index, module="loadtests.ledger_cost.sampled")
            del os.environ["HEADRACE_BENCH"]
            wait_for(lambda at=index: self._stack.ready(at), 60, f"{name}, sampled")  # type: ignore[misc]
            pid = self._stack.processes[process].pid
            os.kill(pid, signal.SIGUSR1)
            per_second[name] = self.closed(name)
            os.kill(pid, signal.SIGUSR1)
            samples[name] = self._samples(process)
        return differences(samples, {name: found["gateway_us"] for name, found in per_second.items()})

    def _samples(self, process: str) -> Path:
        path = self._stack.directory / f"{process}.samples"
        wait_for(path.exists, 10, "samples")
        time.sleep(0.2)
        return path


def summary(rounds: list[dict[str, dict[str, dict[str, Any]]]]) -> dict[str, Any]:
    """Medians of both gateways per row, and what the real one adds."""
    out: dict[str, Any] = {}
    for row in ("closed", "open"):
        of = {
            name: {key: median([found[row][name][key] for found in rounds]) for key in rounds[0][row][name]}
            for name in GATEWAYS
        }
        added = {key: of["real"][key] - of["bare"][key] for key in ("gateway_us", "valkey_us", "p50_ms", "p99_ms")}
        ratio = of["real"]["gateway_us"] / of["bare"]["gateway_us"]
        each = {
            key: [found[row]["real"][key] - found[row]["bare"][key] for found in rounds]
            for key in ("gateway_us", "p50_ms")
        }
        out[row] = {**of, "added": added, "added_rounds": each, "ratio": ratio}
    return out


def measure(args: argparse.Namespace, llmload: str, stack: Stack) -> dict[str, Any]:
    """All rounds, and the profile where it is asked for."""
    stack.start_gateway(GATEWAYS["bare"], module="loadtests.ledger_cost.bare")
    wait_for(lambda: stack.ready(*GATEWAYS.values()), 60, "both gateways")
    account = new_account(stack.url, stack.key, "cost", limits={"tenant": BOUNDS, "key": BOUNDS}, keep_records=False)
    bench = Bench(stack, account, llmload, args.seconds)
    rate = SHARE_OPEN * bench.closed("bare")["requests_per_s"]
    bench.closed("real")
    rounds = [bench.round(rate) for _ in range(args.rounds)]
    found = {"rate_open": rate, "summary": summary(rounds), "rounds": rounds}
    return {**found, "profile": bench.profile()} if args.profile else found


def main() -> None:
    """Entry point: `python -m loadtests.ledger_cost --rounds 9`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each measured window")
    parser.add_argument("--engine-ms", type=float, default=0.0, help="time to the token")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--base-port", type=int, default=19420)
    parser.add_argument("--out")
    args = parser.parse_args()
    llmload = load.build()
    worker = [
        "--simulated.ttft_ms",
        str(args.engine_ms),
        "--simulated.inter_token_ms",
        "0",
        "--simulated.running_max",
        "1024",
    ]
    layout = Layout(base_port=args.base_port, gateway_core="0", inner_core="1", worker_core="1", worker_args=worker)
    with Stack(layout) as stack:
        emit("ledger_cost", {"engine_ms": args.engine_ms, **measure(args, llmload, stack)}, args.out)


if __name__ == "__main__":
    main()
