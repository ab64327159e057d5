"""The 400s of every wire protocol: what was wrong, where, and what to do instead."""

from __future__ import annotations

import re

from libs.errors import PlatformError, Reason

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<path>[^`]*)`)?$", re.DOTALL)
_MISSING = re.compile(r"missing required field `(?P<field>[^`]*)`")


def invalid(param: str | None, message: str) -> PlatformError:
    """A value that is wrong."""
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param)


def unsupported(param: str, message: str) -> PlatformError:
    """A field that would change the answer and is not honoured here."""
    return PlatformError(Reason.UNSUPPORTED_PARAMETER, message, started=False, param=param)


def from_msgspec(problem: Exception, under: str = "") -> PlatformError:
    """The refusal of a JSON body, with the path that msgspec names as `param` ("messages[0].content")."""
    if isinstance(problem, UnicodeDecodeError):
        return invalid(under or None, "The body is not valid UTF-8.")
    if isinstance(problem, RecursionError):
        return invalid(under or None, "The body is nested too deeply.")
    match = _AT.match(str(problem))
    what, path = (match["what"], match["path"] or "") if match else (str(problem), "")
    missing = _MISSING.search(what)
    param = _join(under, path.removeprefix("$"))
    if missing:
        param = _join(param, "." + missing["field"])
    return invalid(param or None, f"{what}{f' (at {param})' if param else ''}.")


def _join(under: str, path: str) -> str:
    return (under + path).lstrip(".")
