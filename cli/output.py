"""How every command speaks: words for people, JSON for programs, errors to stderr with a fix."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from rich.console import Console

from cli.errors import CliError
from libs.errors import PlatformError


def console() -> Console:
    """Standard output; colours on a terminal only."""
    return Console(highlight=False)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(json.dumps(value, indent=2) + "\n")


@contextmanager
def reported(as_json: bool) -> Iterator[None]:
    """Turns an error of ours into words (or JSON) and an exit status; others are defects and keep their trace."""
    try:
        yield
    except CliError as problem:
        _fail(problem, as_json=as_json)
    except PlatformError as problem:
        _fail(CliError(problem.message), as_json=as_json)


def _fail(problem: CliError, *, as_json: bool) -> NoReturn:
    message, fix = problem.message, problem.fix
    if as_json:
        reason = {"code": problem.reason} if problem.reason else {}
        print_json({"error": {"message": message, "fix": fix} | reason})
    else:
        err = Console(stderr=True, highlight=False)
        err.print("error: ", style="bold red", end="")
        err.print(message, markup=False, soft_wrap=True)
        if fix:
            err.print(f"  fix: {fix}", markup=False, soft_wrap=True)
    raise typer.Exit(problem.code)
