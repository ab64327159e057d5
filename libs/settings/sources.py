"""The three sources of settings, each as a nested dict, and the merge that remembers where a value came from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, SecretStr

from libs.settings.errors import SettingsError
from libs.settings.keys import did_you_mean, known_keys, leaves
from libs.settings.model import ServiceSettings

Values = dict[str, Any]
_TEXT = (str, Path, SecretStr)


def from_yaml(model: type[BaseModel], path: Path) -> Values:
    """Dotted key → value of a YAML file; raises SettingsError for what cannot be read or is not a known key."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError([f"{path}: cannot be read as YAML: {error}"]) from error
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise SettingsError([f"{path}: must hold keys and values, such as `log: {{level: debug}}`"])
    return _flatten(tree, known_keys(model), set(leaves(model)), path)


def _flatten(tree: Mapping[Any, Any], known: set[str], values: set[str], path: Path) -> Values:
    found: Values = {}
    problems: list[str] = []

    def walk(node: Mapping[Any, Any], prefix: str) -> None:
        for name, value in node.items():
            key = f"{prefix}{name}"
            if key not in known:
                problems.append(f"{key} (in {path}): is not a setting; {did_you_mean(key, known)}")
            elif key not in values and isinstance(value, dict):
                walk(value, f"{key}.")
            else:
                found[key] = value

    walk(tree, "")
    if problems:
        raise SettingsError(problems)
    return found


def from_environment(model: type[ServiceSettings], environ: Mapping[str, str]) -> Values:
    """Dotted key → text of the variables of this service; raises SettingsError for variables it does not know."""
    prefix = model.env_prefix()
    known = {prefix + key.upper().replace(".", "__"): key for key in known_keys(model)}
    found: Values = {}
    problems: list[str] = []
    for name, value in environ.items():
        if not name.upper().startswith(prefix):
            continue
        if name.upper() in known:
            found[known[name.upper()]] = value
        else:
            problems.append(f"{name}: is not a setting; {did_you_mean(name.upper(), known)}{_kubernetes_hint(name)}")
    if problems:
        raise SettingsError(problems)
    return found


def _kubernetes_hint(name: str) -> str:
    """Kubernetes puts HEADRACE_GATEWAY_SERVICE_HOST and _PORT into pods beside a Service of that name."""
    injected = (
        name.endswith(("_SERVICE_HOST", "_SERVICE_PORT", "_PORT")) or "_PORT_" in name or "_SERVICE_PORT_" in name
    )
    return " (set by Kubernetes? then enableServiceLinks: false in the pod)" if injected else ""


def nest(values: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """The nested dict of dotted keys, groups before the values inside them. Raises SettingsError for broken JSON."""
    tree: dict[str, Any] = {}
    for key in sorted(values, key=lambda key: key.count(".")):
        *groups, last = key.split(".")
        node = tree
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = _decoded(key, values[key], kinds.get(key))
    return tree


def _decoded(key: str, value: Any, kind: Any) -> Any:
    """Text of a list, a dict or a group is JSON; other text is left to the type."""
    if not isinstance(value, str) or kind in _TEXT or not value.startswith(("[", "{")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise SettingsError([f'{key}: is not JSON ({error}); a list is written as \'["a", "b"]\'']) from error
