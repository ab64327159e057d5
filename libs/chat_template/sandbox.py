"""Jinja for chat templates: the sandbox of Hugging Face's `apply_chat_template`, with limits on steps, time and size.

A template comes with a model and runs on every request: one that loops or swells must fail its call, not its process.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, NoReturn

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

_VERDICTS_MAX = 4096


class Limits(NamedTuple):
    """Bounds of one rendering: loop rounds and calls, seconds, characters of any one value."""

    steps_max: int = 2_000_000
    seconds_max: float = 2.0
    chars_max: int = 16 * 1024 * 1024


class LimitError(TemplateError):
    """A template did too much."""


class _Generation(Extension):
    """`{% generation %}` marks assistant text for training; here its body is rendered as if it were not marked."""

    tags = {"generation"}  # noqa: RUF012 - jinja's own form

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class Sandbox(ImmutableSandboxedEnvironment):
    """Counts what a template does. One rendering at a time: `begin` resets the meter."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self, limits: Limits, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols", _Generation], cache_size=0
        )
        self._limits, self._monotonic = limits, monotonic
        self._steps, self._until = 0, 0.0
        # jinja's verdict on an attribute depends on the object's type alone, and asking it costs 20 µs a message.
        self._safe: dict[tuple[type, str], bool] = {}
        self.filters["tojson"] = to_json
        self.filters["metered_loop"] = self._loop
        self.filters["metered_value"] = self._sized
        self.globals["raise_exception"] = _raise_exception

    def begin(self) -> None:
        """Starts the meter for one rendering."""
        self._steps, self._until = 0, self._monotonic() + self._limits.seconds_max

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Jinja's own rule, asked once per type and name."""
        key = (type(obj), attr)
        safe = self._safe.get(key)
        if safe is None:
            if len(self._safe) >= _VERDICTS_MAX:  # names can come from messages, where a template subscripts by them
                self._safe.clear()
            safe = self._safe[key] = super().is_safe_attribute(obj, attr, value)
        return safe

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        """Every call a template makes."""
        self._spend(1)
        for argument in (*args, *kwargs.values()):
            self._check_int(argument)
        return self._sized(super().call(context, obj, *args, **kwargs))

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Every operator that can swell."""
        if operator == "+":
            return self._sized(left + right)
        if operator == "*":
            for one, other in ((left, right), (right, left)):
                if isinstance(one, int) and hasattr(other, "__len__") and one * len(other) > self._limits.chars_max:
                    raise LimitError("the template repeats a value beyond the size limit")
        elif operator == "**" or (operator == "%" and isinstance(left, str)):
            raise LimitError(f"the operator {operator} is not available in templates")
        return self._sized(super().call_binop(context, operator, left, right))

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        tree = super()._parse(source, name, filename)
        for loop in list(tree.find_all(nodes.For)):
            loop.iter = nodes.Filter(loop.iter, "metered_loop", [], [], None, None)
        _wrap_concats(tree)
        tree.set_environment(self)
        return tree

    def _loop(self, items: Iterable[Any]) -> list[Any]:
        found = list(items)
        self._spend(len(found) + 1)
        return found

    def _sized(self, value: Any) -> Any:
        if isinstance(value, str | list | tuple) and len(value) > self._limits.chars_max:
            raise LimitError("the template makes a value beyond the size limit")
        return value

    def _check_int(self, value: Any) -> None:
        if isinstance(value, int) and abs(value) > self._limits.chars_max:
            raise LimitError("the template uses a number beyond the size limit")

    def _spend(self, steps: int) -> None:
        self._steps += steps
        if self._steps > self._limits.steps_max:
            raise LimitError("the template takes too many steps")
        if self._monotonic() > self._until:
            raise LimitError("the template takes too long")


def _wrap_concats(tree: nodes.Node) -> None:
    """`a ~ b` is no operator to the sandbox, so its result is checked by a filter."""
    for parent in list(tree.find_all(nodes.Node)):
        for field, value in list(parent.iter_fields()):
            if isinstance(value, nodes.Concat):
                setattr(parent, field, _sized_node(value))
            elif isinstance(value, list):
                value[:] = [_sized_node(v) if isinstance(v, nodes.Concat) else v for v in value]


def _sized_node(node: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, "metered_value", [], [], None, None)


def to_json(
    value: Any,
    ensure_ascii: bool = False,  # noqa: FBT001, FBT002 - the signature templates know
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,  # noqa: FBT001, FBT002 - the signature templates know
) -> str:
    """JSON without HTML escaping (jinja's own filter escapes), as `apply_chat_template` does."""
    text = json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)
    # Marks of masked text must survive the escaping.
    return text.replace("\\ue000", "\ue000").replace("\\ue001", "\ue001") if ensure_ascii else text


def strftime(now: datetime) -> Callable[[str], str]:
    """`strftime_now` of a prompt: its date is frozen by the caller, so that a session's prompts stay prefixes."""
    return now.strftime


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)
