"""Figures of replays: one run's, and medians over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadtests.common.report import median, quantile
from loadtests.replay.run import Change, Outcome
from loadtests.replay.trace import Trace, ceiling

QUANTILES = (0.5, 0.9, 0.99)


def of_run(trace: Trace, outcome: Outcome, changes: Sequence[Change]) -> dict[str, float]:
    """One run: hit ratio (of blocks), that of the ceiling, imbalance of missed blocks, TTFT in ms, sessions moved.

    Imbalance = most missed blocks of a worker / their mean. Moved: sessions whose call went to another worker than
    their last one, though that was alive; and those whose worker had been lost.
    """
    if outcome.unfinished:
        raise AssertionError(f"{outcome.unfinished} requests never ended")
    times = list(outcome.ttft_ms.values())
    missed = list(outcome.missed.values())
    moved, orphans = moves(trace, outcome, changes)
    return {
        "hit_ratio": outcome.hits / outcome.blocks,
        "of_ceiling": outcome.hits / outcome.blocks / ceiling(trace),
        "imbalance": max(missed) * len(missed) / sum(missed),
        **{f"ttft_ms_p{round(q * 100)}": quantile(times, q) for q in QUANTILES},
        "ttft_ms_mean": sum(times) / len(times),
        "sessions_moved": moved,
        "sessions_of_lost_worker_moved": orphans,
    }


def moves(trace: Trace, outcome: Outcome, changes: Sequence[Change]) -> tuple[int, int]:
    """(sessions that left a living worker, sessions that left a lost one)."""
    lost_at = {change.worker: change.at_ms for change in changes if not change.joins}
    at: dict[str, list[str]] = {}
    moved: set[str] = set()
    orphans: set[str] = set()
    for request in trace.requests:
        places = outcome.placed[request.number]
        before = at.get(request.session, places)
        # Where the last call began counts too: calls that overlap are both moved when their worker is lost.
        if places[0] not in (before[0], before[-1]):
            gone = lost_at.get(before[-1], float("inf")) <= request.arrival_ms
            (orphans if gone else moved).add(request.session)
        at[request.session] = places
        if len(places) > 1:
            orphans.add(request.session)
    return len(moved), len(orphans)


def of_seeds(runs: Sequence[dict[str, float]]) -> dict[str, Any]:
    """Medians, and the lowest and highest p90."""
    figures: dict[str, Any] = {key: round(median([run[key] for run in runs]), 4) for key in runs[0]}
    p90 = [run["ttft_ms_p90"] for run in runs]
    figures["ttft_ms_p90_range"] = [round(min(p90), 1), round(max(p90), 1)]
    return figures


def against(ours: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> float:
    """Their p90 over ours, median of the seeds: both met the same calls."""
    pairs = zip(ours, theirs, strict=True)
    return round(median([other["ttft_ms_p90"] / mine["ttft_ms_p90"] for mine, other in pairs]), 3)
