"""What is kept of an exception with a dead letter: bounded, printable, and without anything that looks like a key."""

from __future__ import annotations

import re
from traceback import TracebackException

CAUSE_CHARACTERS_MAX = 500
STACK_BYTES_MAX = 8 * 1024
# The innermost frames; those above are the event loop's and the consumer's.
_FRAMES_MAX = 12
# Keys of any vendor ("sk-…"), and what follows "Bearer" or stands in a URL before the host.
_SECRETS = re.compile(r"\bsk-[\w-]{6,}|(?i:\bbearer\s+)\S+|(?<=://)[^\s/@]+@")


def cause_of(error: BaseException) -> str:
    """Its type and text on one line."""
    said = _without_secrets(str(error)[: 4 * CAUSE_CHARACTERS_MAX])
    line = "".join(each if each.isprintable() else " " for each in said).strip()
    name = type(error).__name__
    return _cut(f"{name}: {line}" if line else name, CAUSE_CHARACTERS_MAX)


def stack_of(error: BaseException) -> bytes:
    """Frames and texts of it and of what it came from, the last 8 KiB of them; empty where it was never raised.

    No local variables, no arguments.
    """
    if error.__traceback__ is None:
        return b""
    told = TracebackException.from_exception(error, limit=-_FRAMES_MAX, capture_locals=False)
    lines = "".join(told.format()).splitlines(keepends=True)
    kept = "".join(line for line in lines if line.strip(" ^~\n"))
    return _without_secrets(kept).encode("utf-8", "replace")[-STACK_BYTES_MAX:]


def _without_secrets(text: str) -> str:
    return _SECRETS.sub("…", text)


def _cut(text: str, characters_max: int) -> str:
    return text if len(text) <= characters_max else text[: characters_max - 1] + "…"
