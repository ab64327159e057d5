"""Flags: `--rpc.port 8101`, `--rpc.port=8101`, `--anonymous`, `--no-anonymous`; dashes and underscores are the same.

pydantic-settings' own command line source takes one spelling only and exits inside argparse with a message that names
neither the nearest key nor the fix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydantic import BaseModel

from libs.settings.errors import SettingsError
from libs.settings.keys import did_you_mean, known_keys, leaves

_TRUTH = {"true", "false", "1", "0", "yes", "no", "on", "off"}
_ACTIONS = ("help", "check_config", "print_config")


@dataclass
class Flags:
    """What a command line says. `values` is dotted key → raw text."""

    values: dict[str, str] = field(default_factory=dict)
    actions: set[str] = field(default_factory=set)
    config: str | None = None


class _Reader:
    """Walks a command line once."""

    def __init__(self, model: type[BaseModel], argv: Sequence[str]) -> None:
        self.rest = list(argv)
        self.kinds = leaves(model)
        self.known = known_keys(model)
        self.flags = Flags()
        self.problems: list[str] = []

    def read(self) -> Flags:
        """All flags; raises SettingsError with every problem."""
        while self.rest:
            self._next(self.rest.pop(0))
        if self.problems:
            raise SettingsError(self.problems)
        return self.flags

    def _next(self, word: str) -> None:
        if not word.startswith("--"):
            self.problems.append(f"{word}: is not a flag; values follow their flag, as in --log.level debug")
            return
        name, has_value, value = word[2:].partition("=")
        key = name.replace("-", "_")
        if key in _ACTIONS and not has_value:
            self.flags.actions.add(key)
        elif key == "config":
            self.flags.config = value if has_value else self._value("config")
        elif key in self.known:
            self._set(key, value if has_value else self._value(key))
        elif key.startswith("no_") and self.kinds.get(key[3:]) is bool and not has_value:
            self._set(key[3:], "false")
        else:
            hint = did_you_mean(key, [*self.known, *_ACTIONS, "config"])
            self.problems.append(f"--{name}: is not a setting; {hint}")
            self._skip_value()

    def _set(self, key: str, value: str | None) -> None:
        if value is not None:
            self.flags.values[key] = value

    def _skip_value(self) -> None:
        if self.rest and not self.rest[0].startswith("--"):
            self.rest.pop(0)

    def _value(self, key: str) -> str | None:
        follows = bool(self.rest) and not self.rest[0].startswith("--")
        if self.kinds.get(key) is bool and not (follows and self.rest[0].lower() in _TRUTH):
            return "true"
        if follows:
            return self.rest.pop(0)
        self.problems.append(f"--{key}: needs a value, as in --{key}=VALUE")
        return None


def read_flags(model: type[BaseModel], argv: Sequence[str]) -> Flags:
    """The flags in `argv` (without the program's name); raises SettingsError."""
    return _Reader(model, argv).read()
