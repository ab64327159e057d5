"""Texts of API keys, wherever they turn up: they are never repeated to anybody."""

from __future__ import annotations

import re

# Any vendor's: "sk-hr-…", "sk-ant-…", "sk-proj-…", bare "sk-…". Not the end of a word such as "task-list-2".
KEY_TEXT = re.compile(r"(?<![A-Za-z0-9_-])sk-[A-Za-z0-9_-]{6,}")
MASK = "sk-…"


def scrub(text: str) -> str:
    """The text without anything that looks like a key."""
    return KEY_TEXT.sub(MASK, text) if "sk-" in text else text
