"""Stops the store under load (SIGSTOP), lets it go on (SIGCONT), and looks at every call that was under way or came.

One gateway with the default store timeout (40 ms), 64 callers in a closed loop, half of them streaming, answers of some
0.4 s; a key with limits and a budget. Per round the store is stopped for some seconds. Measured:

- `refusal_ms`: from a call's last byte sent to the last byte of its refusal, for calls that were sent while the store
  was stopped; every one must be a 503 `store_unavailable` with Retry-After, within 50 ms. A refused caller asks again
  after 100 ms, so that there are enough of them. The call on which a timeout strikes pays it; those after it are
  refused at once.
- `running`: calls that were running when it was stopped; each must end whole, or with an error that says so.
- `back_ms`: from SIGCONT to the last byte of the first call that succeeds among those sent after it; at most a second.
- After each round: every caller has come back, no connection to the gateway is left, nothing is held, and what the
  round's tenant was charged is what its whole answers were told they cost: nothing was free, nothing was charged twice.

The gateway is on core 0, all else on core 1. The generator is a Python client: its own delays are in the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from libs.money import from_dollars
from libs.valkey import Valkey, ValkeySettings
from loadtests.common.accounts import new_account, total
from loadtests.common.client import Answer, stream, whole
from loadtests.common.report import emit, median, quantile
from loadtests.common.stack import MODEL_NAME, Layout, Stack
from loadtests.overspend.watcher import Watcher, look

CALLERS = 64
TOKENS = 20
BODY = {
    "model": MODEL_NAME,
    "messages": [{"role": "user", "content": "Write about the river, the mill and the wheel."}],
    "max_tokens": TOKENS,
    "min_tokens": TOKENS,
    "ignore_eos": True,
}
REFUSED_PAUSE_SECONDS = 0.1
ENOUGH = 10**12
LIMITS = {"requests_per_minute": 1_000_000, "tokens_per_minute": 100_000_000, "parallel_requests": 1000}


@dataclass
class Call:
    """One call. Times are monotonic seconds, `ended` at the last byte."""

    sent: float
    ended: float = 0.0
    answer: Answer = field(default_factory=Answer)
    lost: str = ""

    @property
    def error(self) -> str:
        """The code of its error, "lost", or ""."""
        if self.lost:
            return "lost"
        error = self.answer.error
        return str(error["code"]) if error else ""

    @property
    def cost(self) -> int:
        """What it was told that it cost, in nano-dollars."""
        told = self.answer.usage.get("headrace", {}).get("cost_usd")
        return from_dollars(told) if told else 0


class Load:
    """Callers in a closed loop; `calls` are all that they made."""

    def __init__(self, port: int, secret: str) -> None:
        self._port = port
        self._headers = {"authorization": f"Bearer {secret}"}
        self.calls: list[Call] = []
        self.stopping = False

    async def run(self) -> None:
        """Until `stopping` is set and every caller has its last answer."""
        await asyncio.gather(*(self._caller(streamed=bool(number % 2)) for number in range(CALLERS)))

    async def _caller(self, *, streamed: bool) -> None:
        while not self.stopping:
            call = Call(time.monotonic())
            self.calls.append(call)
            try:
                ask = stream if streamed else whole
                async with asyncio.timeout(30):
                    await ask(self._port, BODY, self._headers, into=call.answer)
            except OSError as problem:
                call.lost = f"{type(problem).__name__} {problem}"
            call.sent, call.ended = call.answer.sent or call.sent, time.monotonic()
            if call.error:
                await asyncio.sleep(REFUSED_PAUSE_SECONDS)


@dataclass(frozen=True)
class Stop:
    """When the store was stopped, and when it was let go on; monotonic seconds."""

    began: float
    ended: float


async def stopped_for(pid: int, seconds: float) -> Stop:
    """Stops the process for so long."""
    os.kill(pid, signal.SIGSTOP)
    began = time.monotonic()
    try:
        await asyncio.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)
    return Stop(began, time.monotonic())


def judge(calls: list[Call], stop: Stop) -> dict[str, Any]:
    """What one stop did to the calls around it."""
    # A call that was sent in the last moment may meet a store that is back.
    during = [call for call in calls if stop.began <= call.sent < stop.ended - 0.05]
    running = [call for call in calls if call.sent < stop.began < call.ended]
    after = [call.ended for call in calls if call.sent >= stop.ended and not call.error]
    refusals = [1e3 * (call.ended - call.sent) for call in during if call.error == "store_unavailable"]
    unlike = [call for call in during if call.error != "store_unavailable" or "retry-after" not in call.answer.headers]
    return {
        "refused": len(refusals),
        "refusal_ms": {name: quantile(refusals, q) for name, q in (("p50", 0.5), ("p99", 0.99), ("max", 1.0))},
        "not_refused": dict(Counter(call.error or "served" for call in unlike)),
        "running": dict(Counter(call.error or "whole" for call in running)),
        "back_ms": 1e3 * (min(after) - stop.ended) if after else float("inf"),
        "told": sum(call.cost for call in calls),
    }


def faults_of(found: dict[str, Any]) -> list[str]:
    """What of a round is outside its targets."""
    checks = {
        f"a refusal took {found['refusal_ms']['max']:.1f} ms": found["refusal_ms"]["max"] > 50,
        f"not refused as they should be: {found['not_refused']}": found["not_refused"],
        f"the first call succeeded {found['back_ms']:.0f} ms after SIGCONT": found["back_ms"] > 1000,
        f"{found['settled']} charged, {found['told']} told": found["settled"] != found["told"],
        f"running calls were lost: {found['running']}": found["running"].get("lost"),
        f"{found['stuck']} callers are stuck": found["stuck"],
        f"{found['connections_left']} connections are left": found["connections_left"],
    }
    return [what for what, wrong in checks.items() if wrong]


async def one_round(stack: Stack, valkey: Valkey, number: int, seconds: float) -> dict[str, Any]:
    """Load, a stop in its middle, load, and the books after it; a tenant of its own."""
    account = await asyncio.to_thread(
        new_account, stack.url, stack.key, f"stopped-{number}", limits={"tenant": total(ENOUGH), "key": LIMITS}
    )
    load = Load(stack.rest_port, account.secret)
    running = asyncio.create_task(load.run())
    await asyncio.sleep(2.0)
    stop = await stopped_for(stack.processes["valkey"].pid, seconds)
    await asyncio.sleep(2.0)
    load.stopping = True
    _, stuck = await asyncio.wait([running], timeout=20)
    found = {**judge(load.calls, stop), "calls": len(load.calls), "stuck": len(stuck)}
    found["quiet_after_seconds"] = await Watcher(valkey, account.tenant, "t", ENOUGH).quiet(10)
    found["settled"] = (await look(valkey, account.tenant)).scopes["t"][0]
    found["connections_left"] = connections(stack.rest_port)
    return {**found, "faults": faults_of(found)}


def connections(port: int) -> int:
    """TCP connections of this machine whose local port it is, in any state but LISTEN and TIME_WAIT."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [(fields[1], fields[3]) for fields in map(str.split, lines)]
    return sum(int(local.rpartition(":")[2], 16) == port and state not in ("0A", "06") for local, state in ends)


async def measure(stack: Stack, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """All rounds, one after the other."""
    valkey = Valkey(ValkeySettings(url=stack.valkey_url, op_timeout_ms=2000))
    try:
        return [await one_round(stack, valkey, number, seconds) for number in range(rounds)]
    finally:
        await valkey.close()


def summary(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst of all rounds, and the middle."""
    return {
        "refused": sum(found["refused"] for found in rounds),
        "refusal_ms": {
            "p50": median([found["refusal_ms"]["p50"] for found in rounds]),
            "p99": median([found["refusal_ms"]["p99"] for found in rounds]),
            "max": max(found["refusal_ms"]["max"] for found in rounds),
        },
        "back_ms": {"p50": median([f["back_ms"] for f in rounds]), "max": max(f["back_ms"] for f in rounds)},
        "running": dict(sum((Counter(found["running"]) for found in rounds), Counter[str]())),
        "stuck": sum(found["stuck"] for found in rounds),
        "faults": [fault for found in rounds for fault in found["faults"]],
    }


def main() -> None:
    """Entry point: `python -m loadtests.store_stopped --rounds 5 --seconds 3`. Exits 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="how long the store is stopped")
    parser.add_argument("--base-port", type=int, default=19360)
    parser.add_argument("--out")
    args = parser.parse_args()
    os.sched_setaffinity(0, {1})
    pace = ["--simulated.ttft_ms", "20", "--simulated.inter_token_ms", "20", "--simulated.running_max", "256"]
    layout = Layout(base_port=args.base_port, inner_core="1", worker_core="1", worker_args=pace, op_timeout_ms=40)
    with Stack(layout) as stack:
        rounds = asyncio.run(measure(stack, args.rounds, args.seconds))
    found = summary(rounds)
    emit("store_stopped", {"seconds": args.seconds, **found, "rounds": rounds}, args.out)
    sys.exit(bool(found["faults"]))


if __name__ == "__main__":
    main()
