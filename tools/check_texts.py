"""What must not be committed: secrets, paths of somebody's machine, addresses of package indexes."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from repo import ROOT, texts

SECRETS = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "API key": re.compile(r"\bsk-(?:hr|proj|ant)-[A-Za-z0-9_-]{24,}|\bsk-[A-Za-z0-9]{32,}\b"),
    "cloud key": re.compile(r"\bAKIA[0-9A-Z]{16}\b|\bAIza[0-9A-Za-z_-]{35}\b"),
    "access token": re.compile(r"\b(?:ghp|gho|ghs|github_pat|hf|glpat|xox[abp])[_-][A-Za-z0-9_-]{24,}"),
}
INDEXES = re.compile(
    r"https?://\S+\.(?:whl|crate|jar|deb|tgz|tar\.gz)\b"
    r"|--(?:extra-)?index-url[ =]\S*http"
    r"|^\s*(?:extra-)?index-url\s*=\s*\S*http"
    r"|registry = \"https?:|\"resolved\": \"https?:|GOPROXY=https?:",
    re.MULTILINE,
)
HOMES = re.compile(r"(?<![\w.])/(?:home|Users)/[a-z][\w-]*/")


def problems_of(path: Path, text: str, here: str) -> Iterator[str]:
    """What one file should not hold; `here` is the checkout's own path."""
    for what, pattern in SECRETS.items():
        if found := pattern.search(text):
            yield f"{_place(path, text, found.start())}: holds what looks like a {what}; build test keys at run time"
    if found := INDEXES.search(text):
        yield f"{_place(path, text, found.start())}: holds a package index or download address; clients have their own"
    if (at := text.find(here + "/")) >= 0:
        yield f"{_place(path, text, at)}: holds this checkout's path; make it relative"
    if found := HOMES.search(text):
        yield f"{_place(path, text, found.start())}: holds a path in somebody's home; make it relative"


def _place(path: Path, text: str, at: int) -> str:
    return f"{path}:{text.count(chr(10), 0, at) + 1}"


def find_problems(root: Path = ROOT) -> list[str]:
    """All of them, over every text file."""
    return [problem for path, text in texts(root) for problem in problems_of(path, text, str(root))]


if __name__ == "__main__":
    found = find_problems()
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
