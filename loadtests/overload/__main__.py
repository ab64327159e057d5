"""Ten times the load that the workers can take, open loop: goodput, refusals, fairness, and the way back.

Three workers with simulated engines run 10 calls each for 0.2 s (100 ms to the first token, 8 tokens 12.5 ms apart):
150 requests a second are all that they can answer, whatever is done. The generator (Rust, one thread) sends each
request at its time, keeps no more than it must, and hangs up after `--deadline` seconds. Its callers are four tenants,
one of which sends seven tenths of all. Phases: a warm-up and the peak at 150/s, ten times as much, and 100/s to see how
soon everything is as it was.

Goodput counts answers that were whole within the deadline, from when the request was due; so do refusals' times, which
the generator's own lag is part of and printed beside. Normal again means: no refusal, nobody gave up, and half the
answers of a half second came within 1.5 times the median at the peak; counted from the end of the overload to the last
half second that was not normal. Every phase has the CPU that each part used, in cores.

The same overload without protection is run first, for shorter: the limit is never reached, nothing is refused before
it has waited, workers queue up to 1024 calls each. A measurement that shows no difference would be none.

    python -m loadtests.overload                  # five minutes of overload
    python -m loadtests.overload --seconds 30
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

from loadtests.common.accounts import new_account
from loadtests.common.load import build
from loadtests.common.procs import cpu_seconds
from loadtests.common.report import emit
from loadtests.common.stack import MODEL_NAME, Layout, Stack

SHARES = (7, 1, 1, 1)
PEAK, LATER = 150, 100
RUNNING, FIRST_MS, TOKENS, TOKEN_MS = 10, 96.0, 8, 12.0
UNPROTECTED = (
    *("--queue.inflight_start", "4096", "--queue.worker_wait_ms", "60000"),
    *("--queue.standing_seconds", "3600", "--queue.wait_seconds_max", "30"),
)


def layout(base_port: int, gateways: int, gateway_args: list[str]) -> Layout:
    """Gateways on core 0, everything else and the generator on core 1."""
    engine = {
        "running_max": RUNNING,
        "ttft_ms": FIRST_MS,
        "inter_token_ms": TOKEN_MS,
    }
    return Layout(
        base_port=base_port,
        workers=3,
        gateways=gateways,
        gateway_core="0",
        inner_core="1",
        worker_core="1",
        worker_args=[part for name, value in engine.items() for part in (f"--simulated.{name}", str(value))],
        gateway_args=gateway_args,
    )


def drive(
    stack: Stack, llmload: str, phases: list[tuple[int, float]], deadline: float, *, prefer: bool
) -> dict[str, Any]:
    """One run of the generator, with CPU seconds per phase and part."""
    accounts = [new_account(stack.url, stack.key, f"tenant-{number}", limits={}) for number in range(len(SHARES))]
    command = ["taskset", "-c", "1", llmload, "overload", "--model", MODEL_NAME, "--max-tokens", str(TOKENS)]
    command += ["--deadline", str(deadline)]
    for port in stack.rest_ports:
        command += ["--target", f"127.0.0.1:{port}"]
    for share, account in zip(SHARES, accounts, strict=True):
        command += ["--key", f"{share}:{account.secret}"]
    for rate, seconds in phases:
        command += ["--phase", f"{rate}:{seconds}"]
    load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    if prefer:
        preferred([load.pid, *(pid for pids in parts(stack).values() for pid in pids)])
    gauges = Gauges(stack.url)
    groups = parts(stack) | {"generator": [load.pid]}
    samples: list[dict[str, float]] = []
    result: dict[str, Any] = {}
    for line in load.stdout or ():
        event = json.loads(line)
        if "ev" in event:
            samples.append({name: cpu_seconds(pids) for name, pids in groups.items()})
        else:
            result = event
    result["gauges"] = gauges.stop()
    if load.wait() or len(samples) != len(phases) + 1:
        raise RuntimeError(f"the load generator failed with exit code {load.returncode}")
    for number, (_, seconds) in enumerate(phases):
        before, after = samples[number], samples[number + 1]
        result["phases"][number]["cpu_cores"] = {
            name: round((after[name] - before[name]) / seconds, 3) for name in groups
        }
    return result


class Gauges(threading.Thread):
    """Reads the first gateway's gauges every second: seconds since the start, then limit, in flight, waiting."""

    NAMES = ("headrace_gateway_inflight_limit", "headrace_gateway_inflight", "headrace_gateway_queue_waiting")

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url, self._over, self._rows = url, threading.Event(), list[list[float]]()
        self.start()

    def run(self) -> None:
        """Until `stop`."""
        began = time.monotonic()
        while not self._over.wait(1.0):
            with urllib.request.urlopen(f"{self._url}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
            values = [
                sum(float(x.rsplit(" ", 1)[1]) for x in lines if x.split("{")[0].split(" ")[0] == n) for n in self.NAMES
            ]
            self._rows.append([round(time.monotonic() - began, 1), *values])

    def stop(self) -> list[list[float]]:
        """The rows."""
        self._over.set()
        self.join()
        return self._rows


def preferred(pids: list[int]) -> None:
    """Lets these processes go before all others of the machine, as if it had no other work."""
    for pid in pids:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_RR, os.sched_param(1))


def parts(stack: Stack) -> dict[str, list[int]]:
    """Process ids by part of the platform."""
    workers = [name for name in stack.processes if name.startswith("inference")]
    gateways = [name for name in stack.processes if name.startswith("gateway")]
    inner = {"router": stack.pids("router"), "valkey": stack.pids("valkey")}
    return {"gateways": stack.pids(*gateways), "workers": stack.pids(*workers) + stack.engine_pids(), **inner}


def seconds_to_normal(result: dict[str, Any], begin: float, median_us: float) -> float:
    """How long after `begin` (seconds into the run) the last half second was that was not as before."""
    slot = result["slot_seconds"]
    last = 0.0
    for number, (sent, _, refused, gave_up, other, p50, *_) in enumerate(result["timeline"]):
        at = number * slot
        if at >= begin and sent and (refused or gave_up or other or p50 > 1.5 * median_us):
            last = at + slot - begin
    return last


def shares(result: dict[str, Any], phase: int) -> list[dict[str, Any]]:
    """What each tenant got while there was not enough for all."""
    found = []
    for share, tally in zip(SHARES, result["keys"][phase], strict=True):
        row = {"offered_share": share / sum(SHARES), "sent": tally["sent"], "answered": tally["answered"]}
        found.append({**row, "answered_share_of_own": round(tally["answered"] / max(1, tally["sent"]), 3)})
    return found


def judge(result: dict[str, Any], phases: list[tuple[int, float]]) -> dict[str, Any]:
    """The figures that the targets speak of."""
    peak, over = result["phases"][1], result["phases"][2]
    begin = sum(seconds for _, seconds in phases[:3])
    return {
        "peak_goodput_per_s": peak["goodput_per_s"],
        "overload_offered_per_s": over["sent"] / phases[2][1],
        "overload_goodput_per_s": over["goodput_per_s"],
        "goodput_of_peak": round(over["goodput_per_s"] / peak["goodput_per_s"], 4),
        "gave_up": over["gave_up"],
        "other": over["other"],
        "last_other": result["last_other"],
        "refused": over["refused"],
        "refusal_us": over["refusal_us"],
        "refusal_from_sent_us": over["refusal_from_sent_us"],
        "refusal_generator_lag_us": over["refusal_generator_lag_us"],
        "retry_after_us": over["retry_after_us"],
        "answer_us": over["latency_us"],
        "seconds_to_normal": seconds_to_normal(result, begin, peak["latency_us"]["p50"]),
        "tenants": shares(result, 2),
        "cpu_cores": over["cpu_cores"],
    }


def measure(args: argparse.Namespace, llmload: str, gateway_args: list[str], seconds: float) -> dict[str, Any]:
    """One stack, one pass through the phases."""
    phases = [(PEAK, 10.0), (PEAK, args.peak_seconds), (args.rate, seconds), (LATER, 15.0)]
    with Stack(layout(args.base_port, args.gateways, gateway_args)) as stack:
        result = drive(stack, llmload, phases, args.deadline, prefer=args.prefer)
    shown = {name: result[name] for name in ("timeline", "gauges")} if args.timeline else {}
    return {"phases": phases, **judge(result, phases), **shown}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0, help="of overload")
    parser.add_argument("--unprotected-seconds", type=float, default=20.0, help="0 = leave the comparison out")
    parser.add_argument("--peak-seconds", type=float, default=20.0)
    parser.add_argument("--rate", type=int, default=1500)
    parser.add_argument("--deadline", type=float, default=5.0)
    parser.add_argument("--gateways", type=int, default=1)
    parser.add_argument("--gateway-arg", action="append", default=[], help="one more argument for the gateways")
    parser.add_argument("--prefer", action="store_true", help="on a shared machine, go before its other work (root)")
    parser.add_argument("--timeline", action="store_true", help="print every half second, too")
    parser.add_argument("--base-port", type=int, default=19700)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    llmload = build()
    found: dict[str, Any] = {"deadline_seconds": args.deadline, "gateways": args.gateways}
    if args.unprotected_seconds:
        found["unprotected"] = measure(args, llmload, list(UNPROTECTED), args.unprotected_seconds)
    found["protected"] = measure(args, llmload, args.gateway_arg, args.seconds)
    emit("overload", found, str(args.out) if args.out else None)


if __name__ == "__main__":
    main()
