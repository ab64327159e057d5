"""Replays a request trace over simulated workers, with the router's production code and with competitors' rules.

    python -m loadtests.replay --trace ../shared/data/traces/mooncake_conversation.jsonl --seeds 3
    python -m loadtests.replay --scenarios "unlimited; small caches" --rules "headrace; round-robin"
    python -m loadtests.replay --sensitivity
    python -m loadtests.replay --robustness

Prints a table per scenario on stderr and one JSON document on stdout. Every seed draws other arrivals between the
trace's stamps and other ties; all rules meet the same calls. Figures are medians over the seeds; `p90_ratio` is the
rule's p90 over headrace's, seed by seed.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from loadtests.common.report import emit
from loadtests.replay import figures
from loadtests.replay.engine import EngineModel
from loadtests.replay.robustness import cases
from loadtests.replay.rules import BOUND, OURS, RULES, Make
from loadtests.replay.run import Replay
from loadtests.replay.scenarios import WORKERS, Scenario, all_scenarios
from loadtests.replay.sensitivity import variants
from loadtests.replay.trace import Trace, ceiling, load

TRACE = Path(__file__).resolve().parents[3] / "shared/data/traces/mooncake_conversation.jsonl"


@dataclass(frozen=True, slots=True)
class Task:
    """One run, in a process of its own."""

    path: str
    scenario: str
    rule: str
    seed: int
    workers: int


@lru_cache(maxsize=1)
def loaded(path: str) -> Trace:
    """The trace, once per process."""
    return load(Path(path))


def play(task: Task) -> dict[str, float]:
    """Runs it."""
    scenario = next(item for item in all_scenarios(loaded(task.path)) if item.name == task.scenario)
    trace = scenario.trace(task.seed)
    changes = scenario.changes(trace)
    make: Make = {**RULES, **variants()}[task.rule]
    replay = Replay(trace, scenario.model, make, workers=task.workers, seed=task.seed, changes=changes)
    return figures.of_run(trace, replay.run(), changes)


def compare(
    args: argparse.Namespace, scenario: Scenario, rules: list[str], pool: ProcessPoolExecutor
) -> dict[str, Any]:
    """One scenario: figures by rule."""
    seeds = range(1, args.seeds + 1)
    tasks = {
        rule: [pool.submit(play, Task(args.trace, scenario.name, rule, seed, args.workers)) for seed in seeds]
        for rule in rules
    }
    runs = {rule: [future.result() for future in futures] for rule, futures in tasks.items()}
    table = {rule: figures.of_seeds(each) for rule, each in runs.items()}
    if OURS in runs:
        for rule, each in runs.items():
            table[rule]["p90_ratio"] = figures.against(runs[OURS], each)
    show(scenario, table)
    return {"about": scenario.about, "cache_blocks": scenario.cache_blocks, "rules": table}


def robust(args: argparse.Namespace, base: Trace, pool: ProcessPoolExecutor) -> dict[str, dict[str, float]]:
    """The router's rule on other data, caches without a bound, one seed."""
    futures = {name: pool.submit(play_case, args.trace, name) for name in cases(base)}
    found = {}
    for name, future in futures.items():
        row = found[name] = future.result()
        words = f"{name:20} {row['of_ceiling']:7.4f} of the ceiling, imbalance {row['imbalance']:.3f}"
        print(words, file=sys.stderr, flush=True)
    return found


def play_case(path: str, name: str) -> dict[str, float]:
    """Runs one of them."""
    make, workers = cases(loaded(path))[name]
    trace = make()
    outcome = Replay(trace, EngineModel(), RULES[OURS], workers=workers, seed=1).run()
    return {key: round(value, 4) for key, value in figures.of_run(trace, outcome, ()).items()}


def show(scenario: Scenario, table: dict[str, dict[str, Any]]) -> None:
    """The table, for people."""
    print(f"\n{scenario.name}: {scenario.about}", file=sys.stderr)
    head = "".join(f"{word:>8}" for word in ("hits", "of max", "imbal."))
    times = "".join(f"{word:>10}" for word in ("p50", "p90", "p99", "ratio"))
    print(f"{'rule':40}{head}{times}  moved", file=sys.stderr)
    for rule, row in sorted(table.items(), key=lambda item: item[1]["ttft_ms_p90"]):
        times = " ".join(f"{row[f'ttft_ms_p{q}']:9.0f}" for q in (50, 90, 99))
        print(
            f"{rule:40} {row['hit_ratio']:7.4f} {row['of_ceiling']:7.4f} {row['imbalance']:7.3f} {times}"
            f" {row.get('p90_ratio', 1):9.3f} {row['sessions_moved']:6.0f}",
            file=sys.stderr,
            flush=True,
        )


def verdicts(trace: Trace, results: dict[str, Any]) -> dict[str, Any]:
    """What was promised, and whether it holds."""
    found: dict[str, Any] = {"ceiling": round(ceiling(trace), 4)}
    finite = {name: each["rules"] for name, each in results.items() if each["cache_blocks"] and OURS in each["rules"]}
    if OURS in (unlimited := results.get("unlimited", {}).get("rules", {})):
        ours = unlimited[OURS]
        found["unlimited: at least 98 % of the ceiling"] = ours["of_ceiling"] >= 0.98
        found["unlimited: imbalance at most 1.10"] = ours["imbalance"] <= 1.10
    for name, rules in finite.items():
        others = [row["ttft_ms_p90"] for rule, row in rules.items() if rule not in (OURS, BOUND)]
        if others:
            found[f"{name}: lowest p90 of all"] = rules[OURS]["ttft_ms_p90"] < min(others)
        if BOUND in rules:
            found[f"{name}: no session left a living worker"] = rules[BOUND]["sessions_moved"] == 0
    return found


def main() -> None:
    """Entry point. Ends with 1 when a promise does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--trace", default=str(TRACE), help="JSON lines: timestamp, input_length, output_length, hash_ids"
    )
    parser.add_argument("--scenarios", default="", help="names, separated by semicolons; all")
    parser.add_argument("--rules", default="", help="names, separated by semicolons; all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=WORKERS)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument(
        "--sensitivity", action="store_true", help="other settings of the router instead of other rules"
    )
    parser.add_argument("--robustness", action="store_true", help="hits and balance on other data, without bounds")
    parser.add_argument("--list", action="store_true", help="names of scenarios and rules")
    parser.add_argument("--out")
    args = parser.parse_args()
    base = load(Path(args.trace))
    scenarios = all_scenarios(base)
    known = variants() if args.sensitivity else RULES
    if args.list:
        print("\n".join([*(f"{each.name}: {each.about}" for each in scenarios), "", *known]))
        return
    wanted = {name.strip() for name in args.scenarios.split(";") if name.strip()}
    rules = [name.strip() for name in args.rules.split(";") if name.strip()] or list(known)
    if unknown := (wanted - {each.name for each in scenarios}) | (set(rules) - set(known)):
        parser.error(f"unknown: {', '.join(sorted(unknown))}. See --list")
    with ProcessPoolExecutor(args.jobs) as pool:
        if args.robustness:
            emit("replay-robustness", {"trace": Path(args.trace).name, "cases": robust(args, base, pool)}, args.out)
            return
        results = {
            each.name: compare(args, each, rules, pool) for each in scenarios if not wanted or each.name in wanted
        }
    found = verdicts(base, results)
    emit(
        "replay-sensitivity" if args.sensitivity else "replay",
        {
            "trace": Path(args.trace).name,
            "workers": args.workers,
            "seeds": args.seeds,
            "verdicts": found,
            "scenarios": results,
        },
        args.out,
    )
    if not all(value for value in found.values()):
        sys.exit("not all promises hold: see verdicts")


if __name__ == "__main__":
    main()
