"""Takes off what agent harnesses wrap around a request, so that the request itself is judged.

Tables name the wrappers; one scan applies them, in time linear in the text. Sources are the harnesses' own prompts as
they arrive: Claude Code, Codex, Cline, Roo Code, Cursor, Copilot Chat, Aider, Open WebUI, LibreChat.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# Blocks that a harness adds: gone with all that is in them.
DROPPED = (
    # Claude Code
    "system-reminder",
    "command-name",
    "command-message",
    "local-command-stdout",
    "local-command-stderr",
    "local-command-caveat",
    "bash-stdout",
    "bash-stderr",
    "ide_selection",
    "ide_opened_file",
    "ide_diagnostics",
    # Codex
    "environment_context",
    "user_instructions",
    "INSTRUCTIONS",
    "permissions instructions",
    # Cline, Roo Code
    "environment_details",
    "file_content",
    "folder_content",
    "url_content",
    "explicit_instructions",
    # Cursor
    "additional_data",
    "attached_files",
    "open_and_recently_viewed_files",
    "current_file",
    "linter_errors",
    "user_info",
    "project_layout",
    "git_status",
    "rules",
    "system_reminder",
    "timestamp",
    # Copilot Chat
    "environment_info",
    "workspace_info",
    "editorContext",
    "repoContext",
    "reminderInstructions",
    "toolReferences",
    "attachments",
    "attachment",
    # Open WebUI and other retrieval wrappers
    "context",
    "chat_history",
    "source",
    "documents",
)
# Blocks that hold the person's own words: where one stands, nothing outside counts.
KEPT = ("task", "user_query", "user_message", "userRequest", "command-args", "feedback", "bash-input")
# From the first of these words at the beginning of a line to the second, both included; "" = to the next blank line.
DROPPED_TEXT = (
    # Codex
    ("# AGENTS.md instructions for ", ""),
    # Open WebUI's retrieval template: the question follows the context.
    ("### Task:\nRespond to the user query using the provided context", "</context>"),
    # LibreChat
    ("Attached document(s):\n```", "\n```"),
    # Aider
    ("Here are summaries of some files present in my git repository", ""),
    ("Current time: ", "\n"),
    ("Current Date: ", "\n"),
    ("Today's date is ", "\n"),
)
# Aider's and others' reminders: nothing after one is the person's.
CUT_AT = ("\n# *SEARCH/REPLACE block* Rules:", "\nTo suggest changes to a file you MUST return", "\n[SYSTEM NOTE:")

_BLOCK = re.compile(rf"<({'|'.join(map(re.escape, DROPPED))})(?:[ \t][^<>\n]{{0,200}})?>")
_KEPT_BLOCK = re.compile(rf"<({'|'.join(map(re.escape, KEPT))})(?:[ \t][^<>\n]{{0,200}})?>")
_STAMP_BEGINS = frozenset("[0123456789")
_STAMP = re.compile(
    r"\A\s*\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d{1,6})?(?:Z| ?UTC|[+-]\d\d:?\d\d)?\]?[:,]?\s"
)


def strip(text: str) -> str:
    """The person's own words in `text`; empty when a harness wrote all of it."""
    for opening, closing in DROPPED_TEXT:
        if opening in text:
            text = _without_text(text, opening, closing)
    if "<" in text:
        text = _kept(_without_blocks(text))
    for mark in CUT_AT:
        text = text.partition(mark)[0]
    if text[:32].lstrip()[:1] in _STAMP_BEGINS:
        text = _STAMP.sub("", text, count=1)
    return text.strip()


def _without_blocks(text: str) -> str:
    kept: list[str] = []
    done = 0
    for start, _, _, end in _blocks(_BLOCK, text):
        kept.append(text[done:start])
        done = end
    return "".join([*kept, text[done:]]) if done else text


def _kept(text: str) -> str:
    found = [text[begin:close].strip() for _, begin, close, _ in _blocks(_KEPT_BLOCK, text)]
    return "\n".join(filter(None, found)) if found else text


def _blocks(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int, int, int]]:
    """Closed blocks from left to right, none within another: where each starts, its inside begins and ends, it ends."""
    done = 0
    unclosed: set[str] = set()
    for match in pattern.finditer(text):
        name = match[1]
        if match.start() < done or name in unclosed:
            continue
        close = text.find(f"</{name}>", match.end())
        if close < 0:
            unclosed.add(name)  # nor is any later one closed: looking again would be quadratic
            continue
        done = close + len(name) + 3
        yield match.start(), match.end(), close, done


def _without_text(text: str, opening: str, closing: str) -> str:
    """Without the first stretch that begins a line with `opening`; an unclosed one is left alone."""
    start = 0 if text.startswith(opening) else text.find("\n" + opening)
    if start < 0:
        return text
    closing = closing or "\n\n"
    end = text.find(closing, start + len(opening) + 1)
    return text if end < 0 else text[:start] + "\n" + text[end + len(closing) :]
