"""Lets whole, well-formed tool calls through and nothing else.

A small model writes `{"city": Paris}` or calls a tool that nobody offered. A client that streams such arguments fails
where it parses them, so a call is held until its arguments are a complete JSON object, and text that never becomes a
call is content again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from services.inference.domain.output.json_scan import ValueEnd
from services.inference.domain.output.parser import ToolPiece


@dataclass(slots=True)
class _Pending:
    """A call that has begun. `end` scans its arguments; `judged` = it passed, or never will."""

    name: str = ""
    arguments: str = ""
    end: ValueEnd = field(default_factory=ValueEnd)
    complete: bool = False
    judged: bool = False


class ToolGate:
    """Collects the pieces of calls by the model's own index and numbers those that pass from 0.

    `call_id` gives the id of call number n; `names` are the tools on offer; `parallel` False lets one call through.
    """

    def __init__(self, call_id: Callable[[int], str], names: Collection[str], *, parallel: bool) -> None:
        self._call_id = call_id
        self._names = names
        self._parallel = parallel
        self._pending: dict[int, _Pending] = {}
        self.passed = 0

    def piece(self, index: int, name: str, arguments: str) -> list[ToolPiece]:
        """Takes a piece of call `index`; returns the call once it is whole."""
        call = self._pending.setdefault(index, _Pending())
        if call.judged:
            return []
        call.name += name
        if not call.complete:
            _take(call, arguments)
        # A name may come after its arguments, so that both decide.
        return self._judge(call) if call.complete and call.name else []

    def _judge(self, call: _Pending) -> list[ToolPiece]:
        call.judged = True
        if not (call.name in self._names and _is_object(call.arguments)):
            return []
        if self.passed and not self._parallel:
            return []
        number = self.passed
        self.passed += 1
        return [ToolPiece(number, self._call_id(number), call.name, call.arguments)]


def _take(call: _Pending, arguments: str) -> None:
    """Adds to the arguments up to the end of their object; what is none from the start is complete, to be refused."""
    if not call.arguments:
        arguments = arguments.lstrip()
    used = call.end.feed(arguments)
    call.arguments += arguments if used is None else arguments[:used]
    call.complete = used is not None or (call.arguments != "" and call.arguments[0] != "{")


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_no_constant), dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
