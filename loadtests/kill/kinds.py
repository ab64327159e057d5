"""The kinds of streams a campaign runs, and what makes an answer of each kind wrong.

A stream may end with an error event: that is honest. What may never happen is a clean end with a wrong answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadtests.common.client import Answer

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "count": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 6},
    },
    "required": ["name", "count", "tags"],
    "additionalProperties": False,
}
STOPS = [" the", "\n\n", "."]


@dataclass(frozen=True)
class Kind:
    """Fields added to the body, and a check that names what is wrong with a cleanly ended answer ("" = nothing)."""

    name: str
    fields: dict[str, Any]
    check: Callable[[Answer, dict[str, Any]], str]
    # The answer of an undisturbed run is the only right one (engines that are exact about it).
    repeatable: bool = True


def logprob_entries(answer: Answer, choice: int = 0) -> list[dict[str, Any]]:
    """All logprob entries of a choice, in order."""
    out: list[dict[str, Any]] = []
    for _, event in answer.events:
        for item in event.get("choices", ()):
            if item["index"] == choice and item.get("logprobs"):
                out += item["logprobs"]["content"]
    return out


def check_counts(answer: Answer, body: dict[str, Any]) -> str:
    """Usage and finish agree with what was asked."""
    tokens = answer.usage.get("completion_tokens", 0)
    if answer.finish() == "length" and tokens != body["max_tokens"] * body.get("n", 1):
        return f"finished by length after {tokens} tokens of {body['max_tokens']}"
    return "" if answer.finish() else "no finish reason"


def check_guided(answer: Answer, body: dict[str, Any]) -> str:
    """The text is an instance of the schema, unless its length ran out."""
    if answer.finish() == "length":
        return check_counts(answer, body)
    try:
        value = json.loads(answer.text())
    except ValueError as error:
        return f"not JSON: {error}: {answer.text()[:80]!r}"
    good = (
        isinstance(value, dict)
        and set(value) == {"name", "count", "tags"}
        and isinstance(value["name"], str)
        and isinstance(value["count"], int)
        and isinstance(value["tags"], list)
        and all(isinstance(tag, str) for tag in value["tags"])
    )
    return "" if good else f"not an instance: {answer.text()[:80]!r}"


def check_stop(answer: Answer, body: dict[str, Any]) -> str:
    """No stop string was delivered."""
    text = answer.text()
    for stop in body["stop"]:
        if stop in text:
            return f"stop string {stop!r} delivered"
    return check_counts(answer, body)


def check_choices(answer: Answer, body: dict[str, Any]) -> str:
    """Every choice finished."""
    missing = [i for i in range(body["n"]) if not answer.finish(i)]
    return f"choices {missing} did not finish" if missing else check_counts(answer, body)


def check_logprobs(answer: Answer, body: dict[str, Any]) -> str:
    """One entry per token, and the tokens' bytes are the text."""
    entries = logprob_entries(answer)
    tokens = answer.usage.get("completion_tokens", 0)
    if len(entries) != tokens:
        return f"{len(entries)} logprob entries for {tokens} tokens"
    joined = b"".join(bytes(entry["bytes"] or []) for entry in entries).decode("utf-8", "replace")
    if answer.finish() == "length" and not joined.startswith(answer.text().rstrip("\ufffd")):
        return "text is not the detokenised ids"
    return check_counts(answer, body)


KINDS = {
    kind.name: kind
    for kind in (
        Kind("plain", {}, check_counts),
        Kind(
            "guided",
            {"response_format": {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}},
            check_guided,
        ),
        Kind("seeded", {"seed": 7, "temperature": 0.8}, check_counts, repeatable=False),
        Kind("penalised", {"presence_penalty": 1.0, "frequency_penalty": 0.7}, check_counts),
        Kind("two_choices", {"n": 2, "temperature": 0.8, "seed": 3}, check_choices, repeatable=False),
        Kind("stop", {"stop": STOPS}, check_stop),
        Kind("logprobs", {"logprobs": True, "top_logprobs": 2}, check_logprobs),
    )
}


def verdict(kind: Kind, answer: Answer, body: dict[str, Any], expected: str | None) -> str:
    """Either "right", "error" (told so), or "wrong: …" (a clean end with a wrong answer, or no end at all)."""
    if answer.error:
        return "wrong: [DONE] after an error" if answer.done else "error"
    if not answer.done:
        return "wrong: ended without [DONE] and without an error"
    fault = kind.check(answer, body)
    if not fault and expected is not None and answer.text() != expected:
        at = next((i for i, (a, b) in enumerate(zip(answer.text(), expected, strict=False)) if a != b), -1)
        fault = f"text differs from the undisturbed run at character {at}"
    return f"wrong: {fault}" if fault else "right"
