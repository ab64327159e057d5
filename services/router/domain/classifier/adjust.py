"""What the rest of the turn says: bounded, set by hand, in logits of the small tier's success.

No outcome data of agent turns stands behind these numbers; they only lean on a text's judgement and never outweigh it.
"""

from __future__ import annotations

from services.router.domain.classifier.facts import TurnFacts

# Logits in all, either way.
ADJUSTMENT_MAX = 2.0


def adjustments(turn: TurnFacts) -> dict[str, float]:
    """Pull of each fact of the turn; > 0 speaks for the large tier. Facts that say nothing are left out."""
    agentic = turn.tools or turn.tool_depth or turn.tool_errors or turn.repeats > 1
    if not agentic and not turn.structured and turn.context_characters < 100_000:
        return {}
    pulls = {
        # Failures of the last tool calls: the strongest sign that an agent is stuck.
        "tool errors": 0.4 * min(turn.tool_errors, 3),
        "repeated calls": 0.5 * min(max(turn.repeats - 1, 0), 2),
        # A long loop holds more to keep in mind; a first step is mostly a choice of a tool.
        "tool-loop depth": 0.05 * min(turn.tool_depth, 10),
        "tools on offer": 0.01 * min(turn.tools, 40),
        # From 100,000 characters of context on, and again from a million on.
        "context": 0.3 * min(max(len(str(turn.context_characters)) - 5, 0), 2),
        # A schema keeps a small model on the rails.
        "structured answer": -0.2 * turn.structured,
    }
    return {name: pull for name, pull in pulls.items() if pull}


def bounded(pulls: dict[str, float]) -> float:
    """Their sum within the bound, in logits."""
    return max(-ADJUSTMENT_MAX, min(ADJUSTMENT_MAX, sum(pulls.values())))
