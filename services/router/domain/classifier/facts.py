"""What is judged, and what comes of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TurnFacts:
    """What the router knows of one turn, field by field as in the protocol's `Turn`; a text alone will do."""

    # The newest user message; of a long one the beginning and the end.
    text: str = ""
    # Characters of that message, uncut; 0 = as many as `text` has.
    text_characters: int = 0
    system_characters: int = 0
    # Characters of all that is sent along.
    context_characters: int = 0
    # User messages so far, this one included.
    user_turns: int = 1
    # Tools on offer.
    tools: int = 0
    # Tool results since the newest user message.
    tool_depth: int = 0
    # Failed ones among the last six tool results.
    tool_errors: int = 0
    # How often the most frequent tool call or error stands among the last six.
    repeats: int = 0
    # The answer must follow a schema, or be a call of a given tool.
    structured: bool = False


@dataclass(frozen=True, slots=True)
class Judgement:
    """How hard a turn is.

    `small_probability` is the calibrated probability that the small tier answers well, None when `unsure` because
    there is nothing to go by. `score` (0 to 1) ranks turns by what the large tier is expected to add; it is the one to
    compare with a threshold. `features` are those that weighed most, strongest first; a pull > 0 speaks for the large
    tier.
    """

    small_probability: float | None
    unsure: bool
    score: float
    features: tuple[tuple[str, float], ...] = ()
