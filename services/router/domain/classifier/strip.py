"""Takes off what agent harnesses wrap around a request, so that the request itself is judged."""

from __future__ import annotations


def strip(text: str) -> str:
    """The person's own words in `text`; the text itself when nothing is wrapped around it."""
    return text.strip()
