"""A gateway that samples its own stacks: `python -m loadtests.ledger_cost.sampled` with the gateway's arguments.

SIGUSR1 begins, a second one ends and writes `<state_dir>/<name>.samples` (JSON: self and inclusive samples by
function). A sample is taken once per millisecond of the process's CPU time, at its next Python instruction: time in C
counts for its caller.
`HEADRACE_BENCH=bare` samples the gateway without its money.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

from loadtests.ledger_cost import bare
from services.gateway import main as gateway

INTERVAL_SECONDS = 0.001
_ROOT = str(Path(__file__).resolve().parents[2])


class Sampler:
    """Counts where the process is."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._own = Counter[str]()
        self._inclusive = Counter[str]()
        self._running = False

    def toggle(self, _signal: int, _frame: FrameType | None) -> None:
        """Begins, or ends and writes."""
        self._running = not self._running
        interval = INTERVAL_SECONDS if self._running else 0.0
        signal.setitimer(signal.ITIMER_PROF, interval, interval)
        if not self._running:
            self._out.write_text(json.dumps({"self": self._own, "inclusive": self._inclusive}))

    def sample(self, _signal: int, frame: FrameType | None) -> None:
        """Counts one stack: its innermost function, and once each function on it."""
        seen: set[str] = set()
        name = ""
        while frame is not None:
            code = frame.f_code
            name = f"{code.co_filename.removeprefix(_ROOT + '/')}:{code.co_qualname}"
            if not seen:
                self._own[name] += 1
            seen.add(name)
            frame = frame.f_back
        self._inclusive.update(seen)


def _argument(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


def main() -> None:
    """Either gateway, with a sampler."""
    sampler = Sampler(Path(_argument("--state_dir")) / f"{_argument('--name')}.samples")
    signal.signal(signal.SIGPROF, sampler.sample)
    signal.signal(signal.SIGUSR1, sampler.toggle)
    (bare if os.environ.get("HEADRACE_BENCH") == "bare" else gateway).main()


if __name__ == "__main__":
    main()
