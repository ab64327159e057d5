"""The keys that a settings class knows, as dotted paths, and the nearest one to a mistyped key."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr


def field_type(annotation: Any) -> Any:
    """The annotation without `Annotated` and without `| None`."""
    if get_origin(annotation) is Annotated:
        return field_type(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        return field_type(kinds[0]) if len(kinds) == 1 else annotation
    return annotation


def is_group(annotation: Any) -> bool:
    """Whether the field holds a nested group."""
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def leaves(model: type[BaseModel], prefix: str = "") -> dict[str, Any]:
    """Dotted key → type of every value that can be set."""
    found: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        kind = field_type(field.annotation)
        if is_group(kind):
            found |= leaves(kind, f"{prefix}{name}.")
        else:
            found[prefix + name] = kind
    return found


def known_keys(model: type[BaseModel]) -> set[str]:
    """Dotted keys of all values and of all groups (which take JSON)."""
    values = set(leaves(model))
    return values | {key.rsplit(".", depth)[0] for key in values for depth in range(1, key.count(".") + 1)}


def did_you_mean(key: str, known: Iterable[str]) -> str:
    """What to do about an unknown key: the nearest known one, or where to look."""
    near = difflib.get_close_matches(key, list(known), n=1, cutoff=0.6)
    return f"did you mean {near[0]}?" if near else "--help lists all keys"


_SECRET_ENDINGS = ("token", "secret", "password", "pepper", "api_key")


def is_secret(key: str, kind: Any) -> bool:
    """Whether a value must not be shown: by its type, or by the name of a plain text field."""
    return kind is SecretStr or (kind is str and key.endswith(_SECRET_ENDINGS))
