r"""Where a value may begin: at a word's beginning; behind an escaped break too, as in text within JSON ("\nsk-…")."""

from __future__ import annotations

START = r"(?:(?<![A-Za-z0-9])|(?<=\\[nrt]))"


def begins_here(text: str, start: int) -> bool:
    """As START, for patterns that are searched much faster without it."""
    before = text[start - 1 : start] if start else ""
    return not (before.isalnum() or before == "_") or (start > 1 and text[start - 2] == "\\" and before in "nrt")
