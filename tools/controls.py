"""Negative controls: switches safeguards off one at a time and expects the tests of each to go red (`make controls`).

A control is a proof when each test that it names fails in its body. A file that cannot be collected, a fixture that
breaks, a test that hangs and a replacement that is no working code prove nothing; they are faults, as are a test that
stays green and an entry whose text has gone. Ends with 1 when there is any.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from control_copy import Copy, CopyError, Run
from control_entries import FOLDER, Control, EntryError, chosen, load
from repo import ROOT

Verdict = Literal["red", "green", "stale", "error"]
WORDS = {"red": "red", "green": "STILL GREEN", "stale": "STALE", "error": "ERROR"}
# Failures that speak of the replacement, not of the safeguard.
BROKEN = ("NameError", "UnboundLocalError", "SyntaxError", "IndentationError", "ImportError", "ModuleNotFoundError")


@dataclass(frozen=True)
class Result:
    """What came of one control; `detail` is the failure that proves it, or what is wrong."""

    name: str
    verdict: Verdict
    detail: str
    seconds: float = 0.0

    def line(self) -> str:
        """Its row of the table."""
        return f"{WORDS[self.verdict]:<11} {self.name:<42} {self.seconds:5.1f} s  {self.detail[:160]}".rstrip()


def unfit(controls: Sequence[Control], root: Path) -> dict[str, Result]:
    """Controls that do not fit the tree, by name."""
    found = {control.name: control.stale(root) for control in controls}
    return {name: Result(name, "stale", why) for name, why in found.items() if why}


def unsound(controls: Sequence[Control], base: Run) -> dict[str, Result]:
    """Controls whose tests are not green with the safeguard on, by name; nothing can go red there."""
    found = {
        control.name: next(filter(None, (_not_green(test, base) for test in control.tests)), "") for control in controls
    }
    return {name: Result(name, "error", why) for name, why in found.items() if why}


def _not_green(test: str, base: Run) -> str:
    cases = base.of(test)
    if bad := next((case for case in cases.values() if case.outcome in ("failed", "error")), None):
        return f"{test} is red with the safeguard on: {bad.message}"
    if not any(case.outcome == "passed" for case in cases.values()):
        return f"{test} does not run here"
    return ""


def judge(control: Control, run: Run) -> tuple[Verdict, str]:
    """The verdict on a run without the safeguard, and why."""
    if run.code is None:
        return "error", "it took too long: a test that hangs is no proof"
    if run.code not in (0, 1):
        return "error", f"pytest ended with {run.code}: {' '.join(run.output.split())[-200:]}"
    details = []
    for test in control.tests:
        verdict, detail = _seen(test, run)
        if verdict != "red":
            return verdict, detail
        details.append(detail)
    return "red", details[0]


def _seen(test: str, run: Run) -> tuple[Verdict, str]:
    cases = run.of(test).values()
    failures = [case.message for case in cases if case.outcome == "failed"]
    broken = [message for message in failures if message.startswith((*BROKEN, "Failed: Timeout"))]
    if broken:
        return "error", f"the replacement is broken: {broken[0]}"
    if failures:
        return "red", failures[0]
    errors = [case.message for case in cases if case.outcome == "error"]
    if errors or not cases:
        return "error", f"{test} did not run: {errors[0] if errors else ' '.join(run.output.split())[-200:]}"
    return "green", f"{test} did not notice"


def try_one(control: Control, copies: queue.SimpleQueue[Copy], seconds: float) -> Result:
    """Switches one safeguard off in a copy that is free, and runs its tests."""
    copy, began = copies.get(), time.monotonic()
    try:
        with copy.without(control):
            verdict, detail = judge(control, copy.test(control.tests, seconds=seconds))
        return Result(control.name, verdict, detail, round(time.monotonic() - began, 1))
    finally:
        copies.put(copy)


def campaign(
    controls: Sequence[Control], home: Path, *, source: Path = ROOT, jobs: int = 1, seconds: float = 60.0
) -> Iterator[Result]:
    """The results in the order of the entries. Raises CopyError when a copy would run other code than its own."""
    copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
    first = Copy(home / "0", source)
    found = unfit(controls, first.root)
    sound = [control for control in controls if control.name not in found]
    if sound:
        first.probe()
        tests = list(dict.fromkeys(test for control in sound for test in control.tests))
        company = unsound(sound, first.test(tests, seconds=seconds * len(tests), bytecode=True))
        # Tests may disturb each other; what counts is how they do alone, as they will with the safeguard off.
        for control in (control for control in sound if control.name in company):
            found |= unsound([control], first.test(control.tests, seconds=seconds, bytecode=True))
    copies.put(first)
    for number in range(1, jobs):
        copies.put(Copy(home / str(number), source))
    with ThreadPoolExecutor(jobs) as pool:
        tried = {c.name: pool.submit(try_one, c, copies, seconds) for c in controls if c.name not in found}
        try:
            for control in controls:
                yield found[control.name] if control.name in found else tried[control.name].result()
        finally:
            pool.shutdown(cancel_futures=True)


def summary(results: Sequence[Result], seconds: float) -> str:
    """One line."""
    counts = {word: sum(result.verdict == verdict for result in results) for verdict, word in WORDS.items()}
    told = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{len(results)} safeguards: {told or 'none'} ({seconds:.0f} s)"


def parse(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="a safeguard or an area; may repeat"
    )
    parser.add_argument("--jobs", type=int, default=1, help="copies that work at the same time (default 1)")
    parser.add_argument("--seconds", type=float, default=60.0, help="limit of one entry (default 60)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None, *, folder: Path = FOLDER, source: Path = ROOT) -> int:
    """Runs the campaign and tells about it; returns the exit status."""
    options, began, results = parse(words), time.monotonic(), []
    try:
        controls = chosen(load(folder), options.only)
        with tempfile.TemporaryDirectory(prefix="headrace-controls-") as home:
            for result in campaign(controls, Path(home), source=source, jobs=options.jobs, seconds=options.seconds):
                results.append(result)
                if not options.json:
                    print(result.line(), flush=True)
    except (EntryError, CopyError) as error:
        print(f"controls: {error}", file=sys.stderr)
        return 2
    seconds = time.monotonic() - began
    if options.json:
        told = {"seconds": round(seconds, 1), "safeguards": [asdict(result) for result in results]}
        print(json.dumps(told, indent=1))
    else:
        print(summary(results, seconds))
    return int(any(result.verdict != "red" for result in results))


if __name__ == "__main__":
    sys.exit(main())
