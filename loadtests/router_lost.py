"""Two router replicas under load: one frozen and back, the other killed and started again. Every call must be answered.

Real processes: gateway, two routers, two simulated workers, a store. Four callers, fresh prompts without a session, so
that every call asks a router. Ends with status 1 when a call was not answered.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import dataclass

from loadtests.common.report import emit, median
from loadtests.common.stack import MODEL_NAME, Layout, Stack

CALLERS = 4


@dataclass(frozen=True)
class Seen:
    """One call: when it began, its HTTP status (0 = no answer), seconds."""

    began: float
    status: int
    seconds: float


class Callers:
    """Calls without a pause until `stop`."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._over = threading.Event()
        self.seen: list[Seen] = []
        self._threads = [threading.Thread(target=self._run, args=(index,)) for index in range(CALLERS)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Returns when all have ended."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self, index: int) -> None:
        number = 0
        while not self._over.wait(0.01):
            number += 1
            began = time.monotonic()
            status = self._call(f"question {number} of caller {index}")
            self.seen.append(Seen(began, status, time.monotonic() - began))

    def _call(self, text: str) -> int:
        body = {"model": MODEL_NAME, "messages": [{"role": "user", "content": text}], "max_tokens": 4}
        headers = {"authorization": f"Bearer {self._stack.key}", "content-type": "application/json"}
        request = urllib.request.Request(
            f"{self._stack.url}/v1/chat/completions", json.dumps(body).encode(), headers=headers
        )
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as refusal:
            return refusal.code
        except OSError:
            return 0


def play(stack: Stack, seconds: float) -> dict[str, float]:
    """Does harm, `seconds` apart; returns when each began."""
    moments = {}
    for name, harm in (
        ("healthy", lambda: None),
        ("router-1 frozen", lambda: os.kill(stack.processes["router-1"].pid, signal.SIGSTOP)),
        ("router-1 back", lambda: os.kill(stack.processes["router-1"].pid, signal.SIGCONT)),
        ("router killed", lambda: stack.kill("router")),
        ("router back", lambda: stack.start_router(0)),
    ):
        moments[name] = time.monotonic()
        harm()
        time.sleep(seconds)
    return moments


def main() -> int:
    """`python -m loadtests.router_lost`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each phase")
    parser.add_argument("--out")
    args = parser.parse_args()
    with Stack(Layout(base_port=19800, workers=2, routers=2)) as stack:
        callers = Callers(stack)
        moments = play(stack, args.seconds)
        callers.stop()
    phases, begins = {}, [*moments.values(), float("inf")]
    for name, begin, end in zip(moments, begins, begins[1:], strict=False):
        times = [each.seconds for each in callers.seen if begin <= each.began < end]
        phases[name] = {"calls": len(times), "ms_p50": 1e3 * median(times), "ms_max": 1e3 * max(times, default=0.0)}
    failed = [each.status for each in callers.seen if each.status != 200]
    emit("router_lost", {"calls": len(callers.seen), "not_answered": len(failed), "phases": phases}, args.out)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
