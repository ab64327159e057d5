"""How a request's model and worker were found, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from cli.view.accounts import usd
from cli.view.table import show_facts, show_table

# Reasons that a record names by one word.
_WHY = {
    "named": "named by the caller",
    "classified": "judged from the turn",
    "unsure": "nothing spoke, so policy decided",
    "sticky": "the session's tier",
    "stalled": "the agent makes no progress: one tier up",
    "floor": "the call's min_tier",
    "asked": "named by the caller",
    "variant": "the session's variant",
    "fallback-same-tier": "another pool of the tier",
    "fallback-up": "the next tier up",
    "fallback-down": "the next tier down",
}
_PULL = ("speaks for small", "speaks for large")


def show_route(found: Mapping[str, Any]) -> None:
    """Prints the record of a request as an explanation: decision, models, workers, attempts, caches, cost."""
    route = found.get("route") or {}
    show_facts(_decision(found, route) | _outcome(found, route))
    for title, columns, rows in _tables(found, route):
        if rows:
            typer.echo(f"\n{title}")
            show_table(columns, rows, right={"weight", "cached tokens", "cost", "first token ms"})


def _decision(found: Mapping[str, Any], route: Mapping[str, Any]) -> dict[str, str]:
    told = route.get("decision") or {}
    judged = told.get("small_probability")
    used = next((choice for choice in route.get("choices", ()) if choice["used"]), None)
    switch = told.get("switch_cost_usd") or "0"
    return {
        "request": found["id"],
        "asked for": route.get("asked") or found["model"],
        "answered by": _model(found, used),
        "tier": told.get("tier") or "",
        "small would do": "" if judged is None else f"with a probability of {judged:.2f}",
        "unsure": "yes: no feature spoke" if told.get("unsure") else "",
        "why": told.get("why") or "",
        "tier before": told.get("previous_tier") or "",
        "switch": f"re-reading the context costs {usd(switch)}" if switch != "0" else "",
    }


def _model(found: Mapping[str, Any], used: Mapping[str, Any] | None) -> str:
    if used is None:
        return f"{found['model']} ({_WHY['named']})"
    variant = f", variant {used['variant']}" if used["variant"] else ""
    return f"{used['model']} ({_WHY.get(used['reason'], used['reason'])}{variant})"


def _outcome(found: Mapping[str, Any], route: Mapping[str, Any]) -> dict[str, str]:
    tokens, times = found["tokens"], found["times"]
    predicted, stored = route.get("predicted_cached_tokens"), route.get("cached_answer")
    foreseen = "not foreseen" if predicted is None else f"{predicted} foreseen"
    first = "" if times["first_token_ms"] is None else f", first token after {times['first_token_ms']:.0f} ms"
    worker = f"{found['worker']} ({found['placed_by'] or 'not placed'})" if found["worker"] else ""
    return {
        "worker": worker,
        "binding": f"{found['session_id']} ({found['session_source']})" if found["session_id"] else "no session",
        "cached tokens": f"{tokens['cached']} of {tokens['prompt']} prompt tokens, {foreseen}",
        "time": f"{times['total_ms']:.0f} ms, {times['queued_ms']:.0f} ms of it queued{first}",
        "cost": usd(found["cost_usd"]),
        "stored answer": f"of {stored}: no worker could answer" if stored else "",
        "error": found["error"] or "",
    }


def _tables(found: Mapping[str, Any], route: Mapping[str, Any]) -> list[tuple[str, tuple[str, ...], list[list[str]]]]:
    features = [
        [one["name"], f"{one['weight']:+.2f}", _PULL[one["weight"] > 0]]
        for one in (route.get("decision") or {}).get("features", ())
    ]
    passed = {one["name"]: one for one in route.get("models_passed_over", ())}
    models = [_choice(choice, passed.get(choice["model"])) for choice in route.get("choices", ())]
    workers = [
        [one["worker"], one["reason"], str(one["cached_tokens"]), f"{one['cost']:.0f}" if one["cost"] else ""]
        for one in route.get("candidates", ())
    ]
    skipped = [[one["name"], one["why"]] for one in route.get("workers_skipped", ())]
    attempts = [
        [one["worker"], one["outcome"], one["reason"] or "", _ms(one.get("first_token_ms"))]
        for one in found["attempts"]
    ]
    return [
        ("What weighed most", ("feature", "weight", "direction"), features),
        ("Models, in the router's order", ("model", "tier", "variant", "reason", "outcome"), models),
        ("Workers of the last plan, best first", ("worker", "reason", "cached tokens", "cost"), workers),
        ("Workers left alone", ("worker", "breaker"), skipped),
        ("Attempts", ("worker", "outcome", "reason", "first token ms"), attempts),
    ]


def _choice(choice: Mapping[str, Any], passed: Mapping[str, Any] | None) -> list[str]:
    outcome = "answered" if choice["used"] else "not needed"
    if passed is not None:
        outcome = f"{'tried' if passed['tried'] else 'passed over'}: {passed['why'].lower().replace('_', ' ')}"
    reason = _WHY.get(choice["reason"], choice["reason"])
    return [choice["model"], choice["tier"], choice["variant"], reason, outcome]


def _ms(milliseconds: float | None) -> str:
    return "" if milliseconds is None else f"{milliseconds:.0f}"
