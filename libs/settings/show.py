"""Settings as text: --help and --print-config."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from libs.settings.keys import is_secret, leaves
from libs.settings.model import ServiceSettings

MASK = "**********"


def show_help(cls: type[ServiceSettings]) -> str:
    """Every flag with its type and default."""
    defaults = _flat(_defaults(cls))
    lines = [
        f"{cls.service}: --KEY VALUE, or {cls.env_prefix()}KEY (. becomes __), or KEY in --config FILE.yaml",
        "",
    ]
    for key, kind in leaves(cls).items():
        name = getattr(kind, "__name__", str(kind)) if isinstance(kind, type) else str(kind).replace("typing.", "")
        shown = f" = {_masked(key, kind, defaults[key])}" if key in defaults else ""
        lines.append(f"  --{key} {name}{shown}")
    lines += ["", "  --config FILE      read this YAML file first", "  --check-config     validate and exit"]
    return "\n".join([*lines, "  --print-config     print what would be used, as YAML, and exit"])


def _defaults(cls: type[ServiceSettings]) -> dict[str, Any]:
    given = {
        name: field.get_default(call_default_factory=True)
        for name, field in cls.model_fields.items()
        if not field.is_required()
    }
    return cls.model_construct(**given).model_dump(mode="json", warnings=False)


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found[prefix + name] = value
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{name}.")
    return found


def show_settings(settings: ServiceSettings, origins: Mapping[str, str]) -> str:
    """The settings as YAML that `--config` takes, secrets masked, each given value with the source it came from."""
    kinds = leaves(type(settings))
    return "\n".join(_lines(settings.model_dump(mode="json"), kinds, origins, ""))


def _lines(tree: Mapping[str, Any], kinds: Mapping[str, Any], origins: Mapping[str, str], prefix: str) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for name, value in tree.items():
        key = prefix + name
        if key not in kinds and isinstance(value, dict):
            yield f"{indent}{name}:"
            yield from _lines(value, kinds, origins, f"{key}.")
            continue
        origin = origins.get(key) or next(
            (source for given, source in origins.items() if key.startswith(f"{given}.")), ""
        )
        yield f"{indent}{name}: {_masked(key, kinds.get(key), value)}" + (f"  # {origin}" if origin else "")


def _masked(key: str, kind: Any, value: Any) -> str:
    if value and is_secret(key, kind):
        return json.dumps(MASK)
    if isinstance(value, str) and "://" in value and "@" in value:
        password = urlsplit(value).password
        return json.dumps(value.replace(f":{password}@", f":{MASK}@") if password else value)
    return json.dumps(value)
