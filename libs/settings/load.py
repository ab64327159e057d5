"""From files, environment and flags to one checked settings object."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NoReturn, TypeVar

from pydantic import ValidationError

from libs.settings.errors import SettingsError
from libs.settings.flags import Flags, read_flags
from libs.settings.keys import did_you_mean, known_keys, leaves
from libs.settings.model import ServiceSettings
from libs.settings.show import show_help, show_settings
from libs.settings.sources import Values, from_environment, from_yaml, nest

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True)
class Loaded(Generic[S]):
    """Settings, and for each dotted key that was given, the source that won."""

    settings: S
    origins: Mapping[str, str]


def parse(cls: type[S], argv: Sequence[str], environ: Mapping[str, str]) -> Loaded[S]:
    """Settings from `--config FILE` < environment < flags; raises SettingsError."""
    return _merge(cls, read_flags(cls, argv), environ)


def load(cls: type[S], argv: Sequence[str] | None = None, environ: Mapping[str, str] | None = None) -> S:
    """Settings for `main`. Exits with 2 and the problems on stderr, or with 0 after --help and the like."""
    try:
        flags = read_flags(cls, sys.argv[1:] if argv is None else argv)
        if "help" in flags.actions:
            _finish(show_help(cls))
        loaded = _merge(cls, flags, os.environ if environ is None else environ)
    except SettingsError as error:
        for problem in error.problems:
            print(f"{cls.service}: {problem}", file=sys.stderr)  # noqa: T201  logging is not set up yet
        raise SystemExit(2) from None
    if "print_config" in flags.actions:
        _finish(show_settings(loaded.settings, loaded.origins))
    if "check_config" in flags.actions:
        _finish(f"{cls.service}: configuration is valid")
    return loaded.settings


def _finish(text: str) -> NoReturn:
    print(text.rstrip("\n"))  # noqa: T201  the answer to a question on the command line
    raise SystemExit(0)


def _merge(cls: type[S], flags: Flags, environ: Mapping[str, str]) -> Loaded[S]:
    values: Values = {}
    origins: dict[str, str] = {}
    if flags.config is not None:
        path = Path(flags.config)
        _put(values, origins, from_yaml(cls, path), str(path))
    _put(values, origins, from_environment(cls, environ), "environment")
    _put(values, origins, flags.values, "flag")
    try:
        return Loaded(cls(**nest(values, leaves(cls))), origins)
    except ValidationError as error:
        raise SettingsError([_problem(cls, item, origins) for item in error.errors()]) from None


def _put(values: Values, origins: dict[str, str], added: Mapping[str, Any], origin: str) -> None:
    """A group given as JSON replaces the values inside it that weaker sources gave."""
    for key in added:
        for inner in [known for known in values if known.startswith(f"{key}.")]:
            del values[inner], origins[inner]
    values.update(added)
    origins.update(dict.fromkeys(added, origin))


def _problem(cls: type[ServiceSettings], item: Any, origins: Mapping[str, str]) -> str:
    key = ".".join(str(part) for part in item["loc"]) or "settings"
    origin = next((origins[known] for known in (key, key.split(".")[0]) if known in origins), None)
    place = f"{key} (from {origin})" if origin else key
    if item["type"] == "extra_forbidden":
        return f"{place}: is not a setting; {did_you_mean(key, known_keys(cls))}"
    if item["type"] == "missing":
        return f"{place}: has no value; give --{key} VALUE or {cls.env_prefix()}{key.upper().replace('.', '__')}"
    return f"{place}: {item['msg']}; change it or leave it out"
