"""Sizes that keep code readable: a function has at most 70 lines, a file 400, a Protocol five members."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

from repo import ROOT, texts

FUNCTION_LINES_MAX = 70
FILE_LINES_MAX = 400
PROTOCOL_MEMBERS_MAX = 5
GENERATED = Path("protos/gen")


def problems_of(path: Path, text: str) -> Iterator[str]:
    """What is too large in one Python file."""
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{path}: {lines} lines, at most {FILE_LINES_MAX}; split it by idea"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _function(path, node)
        elif isinstance(node, ast.ClassDef):
            yield from _protocol(path, node)


def _function(path: Path, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[str]:
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if lines > FUNCTION_LINES_MAX:
        yield f"{path}:{node.lineno}: {node.name} has {lines} lines, at most {FUNCTION_LINES_MAX}"


def _protocol(path: Path, node: ast.ClassDef) -> Iterator[str]:
    bases = {ast.unparse(base).split("[")[0] for base in node.bases}
    members = sum(isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) for item in node.body)
    if bases & {"Protocol", "typing.Protocol"} and members > PROTOCOL_MEMBERS_MAX:
        yield f"{path}:{node.lineno}: Protocol {node.name} has {members} members, at most {PROTOCOL_MEMBERS_MAX}"


def find_problems(root: Path = ROOT) -> list[str]:
    """All of them, over hand-written Python."""
    python = ((path, text) for path, text in texts(root) if path.suffix == ".py" and not path.is_relative_to(GENERATED))
    return [problem for path, text in python for problem in problems_of(path, text)]


if __name__ == "__main__":
    found = find_problems()
    print(*found, sep="\n", end="\n" if found else "")
    sys.exit(bool(found))
