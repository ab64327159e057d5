"""A valid JSON text for a schema: what a guided engine would write, drawn from a stream of numbers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from libs.errors import PlatformError, Reason
from services.inference.adapters.simulated.generator import mix
from services.inference.domain.request import Guided

_DEPTH_MAX = 24
_WORDS = ("water", "river", "wheel", "mill", "stone", "gate", "flow", "spring")


def guided_text(guided: Guided, seed: int) -> str:
    """JSON text that the grammar allows. Raises PlatformError(INVALID_SCHEMA) for what is no schema known here."""
    if guided.regex is not None:
        raise _bad("the simulated engine knows JSON schemas only, no regex")
    if guided.json_schema is None:
        return json.dumps({"answer": _WORDS[mix(seed) % len(_WORDS)]})
    try:
        schema = json.loads(guided.json_schema)
    except (ValueError, RecursionError) as error:
        raise _bad("the schema is not JSON") from error
    return json.dumps(_Instance(schema, seed).make(schema, 0))


class _Instance:
    def __init__(self, root: Any, seed: int) -> None:
        self._root, self._state = root, seed

    def make(self, schema: Any, depth: int) -> Any:
        """A value of the schema."""
        if depth > _DEPTH_MAX:
            raise _bad("the schema nests too deeply or without an end")
        if schema is True:
            return self._word()
        if not isinstance(schema, dict):
            raise _bad("a schema must be an object")
        if "$ref" in schema:
            return self.make(self._resolve(str(schema["$ref"])), depth + 1)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._one_of(schema["enum"])
        for branches in ("anyOf", "oneOf"):
            if branches in schema:
                return self.make(self._one_of(schema[branches]), depth + 1)
        return self._of_type(schema, depth)

    def _of_type(self, schema: Mapping[str, Any], depth: int) -> Any:
        kind = schema.get("type", "object" if "properties" in schema else "string")
        makers: dict[str, Callable[[], Any]] = {
            "object": lambda: {k: self.make(v, depth + 1) for k, v in schema.get("properties", {}).items()},
            "array": lambda: self._array(schema, depth),
            "string": lambda: self._string(schema),
            "integer": lambda: self._integer(schema),
            "number": lambda: self._integer(schema) + 0.5 if "maximum" not in schema else self._integer(schema),
            "boolean": lambda: bool(self._draw() & 1),
            "null": lambda: None,
        }
        kind = kind[0] if isinstance(kind, list) and kind else kind
        if kind not in makers:
            raise _bad(f"the type {kind!r} is not known")
        return makers[kind]()

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        least = int(schema.get("minItems", 0))
        most = int(schema.get("maxItems", least + 2))
        count = least + self._draw() % (most - least + 1) if most > least else least
        return [self.make(schema.get("items", {"type": "string"}), depth + 1) for _ in range(min(count, 32))]

    def _string(self, schema: Mapping[str, Any]) -> str:
        text = self._word()
        while len(text) < int(schema.get("minLength", 0)):
            text += "-" + self._word()
        return text[: int(schema["maxLength"])] if "maxLength" in schema else text

    def _integer(self, schema: Mapping[str, Any]) -> int:
        low = int(schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1))
        high = int(schema.get("maximum", low + 100))
        return low + self._draw() % (high - low + 1) if high > low else low

    def _resolve(self, reference: str) -> Any:
        found = self._root
        for part in reference.removeprefix("#").strip("/").split("/"):
            if part:
                found = found.get(part) if isinstance(found, dict) else None
        if found is None:
            raise _bad(f"{reference} points nowhere")
        return found

    def _one_of(self, values: Any) -> Any:
        if not isinstance(values, list) or not values:
            raise _bad("enum, anyOf and oneOf need at least one value")
        return values[self._draw() % len(values)]

    def _word(self) -> str:
        return _WORDS[self._draw() % len(_WORDS)]

    def _draw(self) -> int:
        self._state = mix(self._state)
        return self._state


def _bad(why: str) -> PlatformError:
    return PlatformError(
        Reason.INVALID_SCHEMA, f"the response schema cannot be used: {why}", started=False, param="response_format"
    )
