"""`make bench`: the short form of every measurement whose prerequisites are here; the rest is named as skipped.

Full campaigns are the modules themselves (`python -m loadtests.soak --seconds 60`); see loadtests/README.md.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass

from loadtests.common.stack import MODEL


@dataclass(frozen=True)
class Item:
    """One measurement in its short form, and what it needs."""

    module: str
    args: tuple[str, ...]
    needs_cargo: bool = False
    needs_model: bool = True


ITEMS = (
    Item("trunk", ("--rounds", "2"), needs_model=False),
    Item("relay", ("--rounds", "2"), needs_cargo=True),
    Item("ttft", ("--rounds", "3", "--calls", "200")),
    Item("soak", ("--seconds", "15"), needs_cargo=True),
    Item("throughput", ("--rounds", "3")),
    Item("affinity", ("--rounds", "2")),
    Item("kill.run", ("--campaigns", "plain,constrained", "--kills", "3")),
    Item("overspend", ("--seeds", "4")),
    Item("ledger_cost", ("--rounds", "3", "--seconds", "3"), needs_cargo=True),
    Item("overload", ("--seconds", "20", "--peak-seconds", "10", "--unprotected-seconds", "10"), needs_cargo=True),
    Item("store_stopped", ("--rounds", "2")),
    Item("store_client", ("--rounds", "3"), needs_model=False),
    Item("jobs_store", ("--rounds", "2", "--items", "2000", "--listed", "20000"), needs_model=False),
    Item("classifier.run", ("--repeats", "4", "--samples", "500"), needs_model=False),
)


def missing(item: Item) -> str:
    """Why an item cannot run here; "" when it can."""
    if item.needs_cargo and not shutil.which("cargo"):
        return "needs cargo, to build the load generator"
    if item.needs_model and not MODEL.exists():
        return "needs the bundled model: make model"
    return ""


def main() -> None:
    """Entry point. Exits 1 when a measurement failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="comma-separated names, such as trunk,relay")
    wanted = set(filter(None, parser.parse_args().only.split(",")))
    failed, skipped = [], []
    for item in ITEMS:
        if wanted and item.module.split(".")[0] not in wanted:
            continue
        if why := missing(item):
            skipped.append(f"{item.module}: {why}")
            continue
        print(f"== {item.module} {' '.join(item.args)}", flush=True)
        command = [sys.executable, "-m", f"loadtests.{item.module}", *item.args]
        if subprocess.run(command, check=False).returncode:
            failed.append(item.module)
    for line in skipped:
        print(f"skipped {line}")
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
