"""Forced tool calls: the grammar that forces them, and the stream of what was forced as tool-call pieces.

As vLLM and OpenAI do it: a named tool's arguments are guided by its own schema; "required" is an array of
`{"name", "parameters"}`. Arguments are always a JSON object, also where a tool's schema would allow something else.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from libs.errors import PlatformError, Reason
from services.inference.domain.output.json_scan import ValueEnd
from services.inference.domain.output.parser import Parsed, ToolPiece
from services.inference.domain.request import Guided, Tool, ToolChoice

_REFERENCES_MAX = 16


def forced_guided(tools: Iterable[Tool], choice: ToolChoice) -> Guided | None:
    """The grammar of a forced choice, None when the choice is free.

    Raises PlatformError(INVALID_REQUEST) for a named tool that is not there, INVALID_SCHEMA for parameters that are no
    schema of an object.
    """
    if choice.mode == "named":
        tool = next((tool for tool in tools if tool.name == choice.name), None)
        if tool is None:
            raise _invalid(f"tool_choice names {choice.name!r}, which is not among the tools", "tool_choice")
        return Guided(json_schema=json.dumps(parameters_of(tool)))
    if choice.mode == "required":
        return Guided(json_schema=json.dumps(_any_of(list(tools), parallel=choice.parallel)))
    return None


def parameters_of(tool: Tool) -> dict[str, Any]:
    """The schema of a tool's arguments, made sure to allow objects only. Raises PlatformError(INVALID_SCHEMA)."""
    try:
        schema = json.loads(tool.parameters_json or "{}")
    except (ValueError, RecursionError) as error:
        raise _bad_schema(tool, "they are not JSON") from error
    if not isinstance(schema, dict):
        raise _bad_schema(tool, "a JSON schema is an object")
    if not _allows_objects_only(schema, schema, _REFERENCES_MAX):
        if {"type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const"} & schema.keys():
            raise _bad_schema(tool, 'arguments are an object: its "type" must be "object"')
        schema = {"type": "object", **schema}
    return schema


def _allows_objects_only(schema: Any, root: Mapping[str, Any], depth: int) -> bool:
    if not isinstance(schema, dict) or depth == 0:
        return False
    if schema.get("type") == "object":
        return True
    if isinstance(reference := schema.get("$ref"), str):
        return _allows_objects_only(_resolve(reference, root), root, depth - 1)
    for keyword in ("anyOf", "oneOf"):
        if isinstance(branches := schema.get(keyword), list) and branches:
            return all(_allows_objects_only(branch, root, depth - 1) for branch in branches)
    return False


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    """What a local JSON pointer ("#/$defs/x") points at, None when it is not there."""
    found: Any = root
    for part in reference.removeprefix("#").strip("/").split("/"):
        if part:
            found = found.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    return found


def _any_of(tools: list[Tool], *, parallel: bool) -> dict[str, Any]:
    if not tools:
        raise _invalid("tool_choice requires a call, and there are no tools", "tool_choice")
    definitions: dict[str, Any] = {}
    branches = []
    for tool in tools:
        parameters = parameters_of(tool)
        for name, definition in parameters.pop("$defs", {}).items():
            if definitions.setdefault(name, definition) != definition:
                raise _bad_schema(tool, f"another tool defines {name!r} differently in $defs")
        branches.append(
            {
                "type": "object",
                "properties": {"name": {"type": "string", "enum": [tool.name]}, "parameters": parameters},
                "required": ["name", "parameters"],
                "additionalProperties": False,
            }
        )
    schema: dict[str, Any] = {"type": "array", "minItems": 1, "items": {"anyOf": branches}}
    if not parallel:
        schema["maxItems"] = 1
    if definitions:
        schema["$defs"] = definitions
    return schema


def _invalid(message: str, param: str) -> PlatformError:
    return PlatformError(Reason.INVALID_REQUEST, message, started=False, param=param)


def _bad_schema(tool: Tool, why: str) -> PlatformError:
    return PlatformError(
        Reason.INVALID_SCHEMA,
        f"the parameters of tool {tool.name!r} cannot be used: {why}",
        started=False,
        param="tools",
    )


class NamedParser:
    """All text is the arguments of one call to one tool. The text is guided, so that it is streamed as it comes."""

    reasoning_tokens = 0
    keep_special_tokens = False

    def __init__(self, name: str, call_id: Callable[[int], str]) -> None:
        self._name = name
        self._call_id = call_id
        self._arguments = _Arguments()
        self.called = False

    def feed(self, text: str, token_ids: object) -> Parsed:  # noqa: ARG002 - the protocol's names
        """See OutputParser."""
        arguments, _ = self._arguments.feed(text)
        if not arguments:
            return Parsed()
        piece = ToolPiece(0, arguments=arguments)
        if not self.called:
            self.called = True
            piece.id, piece.name = self._call_id(0), self._name
        return Parsed(tool_calls=[piece])

    def finish(self) -> Parsed:
        """See OutputParser. Nothing is held back: what is cut off by a length limit stays cut off."""
        return Parsed()


class _Arguments:
    """Passes one JSON object through, from its first brace to its last."""

    def __init__(self) -> None:
        self._begun = False
        self._ended = False
        self._end = ValueEnd()

    def feed(self, text: str) -> tuple[str, str]:
        """What of the text belongs to the object, and what comes after it."""
        if self._ended:
            return "", text
        if not self._begun:
            start = text.find("{")
            if start < 0:
                return "", ""
            self._begun, text = True, text[start:]
        used = self._end.feed(text)
        if used is None:
            return text, ""
        self._ended = True
        return text[:used], text[used:]

    @property
    def ended(self) -> bool:
        return self._ended


class RequiredParser:
    """The text is `[{"name": …, "parameters": {…}}, …]`, guided: names are read, parameters are streamed as they come.

    The grammar puts the name first; xgrammar keeps the order of the schema's properties.
    """

    reasoning_tokens = 0
    keep_special_tokens = False

    _NAME, _KEY, _PARAMETERS = range(3)

    def __init__(self, call_id: Callable[[int], str]) -> None:
        self._call_id = call_id
        self._number = -1
        self._state = self._NAME
        self._held = ""
        self._arguments = _Arguments()
        self.called = False

    def feed(self, text: str, token_ids: object) -> Parsed:  # noqa: ARG002 - the protocol's names
        """See OutputParser."""
        parsed = Parsed()
        self._held += text
        while self._step(parsed.tool_calls):
            pass
        return parsed

    def finish(self) -> Parsed:
        """See OutputParser. What is held is no part of a call: brackets, or a name that was cut off."""
        return Parsed()

    def _step(self, pieces: list[ToolPiece]) -> bool:
        """Takes one element of the array a step further; False when more text is needed."""
        if self._state == self._NAME:
            return self._read_name(pieces)
        if self._state == self._KEY:
            return self._skip_key()
        return self._pass_parameters(pieces)

    def _read_name(self, pieces: list[ToolPiece]) -> bool:
        after_key = _after(self._held, '"name"')
        literal = None if after_key is None else _string_at(self._held, after_key)
        if literal is None:
            return False
        name, end = literal
        self._held = self._held[end:]
        self._number += 1
        self._state = self._KEY
        self.called = True
        pieces.append(ToolPiece(self._number, self._call_id(self._number), name))
        return True

    def _skip_key(self) -> bool:
        after_key = _after(self._held, '"parameters"')
        if after_key is None:
            return False
        self._held = self._held[after_key:]
        self._arguments = _Arguments()
        self._state = self._PARAMETERS
        return True

    def _pass_parameters(self, pieces: list[ToolPiece]) -> bool:
        arguments, self._held = self._arguments.feed(self._held)
        if arguments:
            pieces.append(ToolPiece(self._number, arguments=arguments))
        if not self._arguments.ended:
            return False
        self._state = self._NAME
        return True


def _after(text: str, key: str) -> int | None:
    place = text.find(key)
    return None if place < 0 else place + len(key)


def _string_at(text: str, place: int) -> tuple[str, int] | None:
    """The JSON string that begins after `place`, and where it ends; None when it is not all there."""
    start = text.find('"', place)
    if start < 0:
        return None
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except ValueError:
        return None
    return value, end
