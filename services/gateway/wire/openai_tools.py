"""Tools, the choice of them, and the form of the answer."""

from __future__ import annotations

import re
from collections import OrderedDict

import msgspec

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import Guided, Tool, ToolChoice
from services.gateway.wire.openai_chat_types import FunctionSpec, NamedToolChoice, ResponseFormat, ToolSpec
from services.gateway.wire.refusals import from_msgspec, invalid, unsupported

_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


class ToolsDecoder:
    """Decodes `tools`, and remembers: an agent sends the same tools, often tens of kilobytes, with every call."""

    def __init__(self, tools_max: int, cached_max: int = 256, cached_bytes_max: int = 131_072) -> None:
        self._tools_max = tools_max
        self._cached_max = cached_max
        self._cached_bytes_max = cached_bytes_max
        self._cache: OrderedDict[bytes, tuple[Tool, ...]] = OrderedDict()
        self._decoder = msgspec.json.Decoder(list[ToolSpec] | None)

    def decode(self, raw: bytes) -> tuple[Tool, ...]:
        """The tools of the JSON text; raises PlatformError with the tool's path as `param`."""
        known = self._cache.get(raw)
        if known is not None:
            self._cache.move_to_end(raw)
            return known
        tools = self._fresh(raw)
        if len(raw) <= self._cached_bytes_max:
            self._cache[raw] = tools
            if len(self._cache) > self._cached_max:
                self._cache.popitem(last=False)
        return tools

    def _fresh(self, raw: bytes) -> tuple[Tool, ...]:
        try:
            specs = self._decoder.decode(raw) or []
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
            raise from_msgspec(problem, "tools") from problem
        if len(specs) > self._tools_max:
            raise invalid("tools", f"'tools' holds {len(specs)} tools; at most {self._tools_max} are taken.")
        tools = tuple([_tool(spec, f"tools[{i}]") for i, spec in enumerate(specs)])
        _refuse_duplicates(tools)
        return tools


def _tool(spec: ToolSpec, param: str) -> Tool:
    if spec.type != "function":
        raise unsupported(f"{param}.type", "Only tools of the type 'function' are supported.")
    if spec.function is None:
        raise invalid(f"{param}.function", f"'{param}.function' is missing.")
    if not _NAME.fullmatch(spec.function.name):
        raise invalid(f"{param}.function.name", "A function's name takes 1 to 128 letters, digits and '_ - . : /'.")
    return _function(spec.function, param)


def _function(function: FunctionSpec, param: str) -> Tool:
    if function.parameters is not None and not isinstance(function.parameters, dict):
        raise _no_object(f"{param}.function.parameters")
    schema = "" if function.parameters is None else msgspec.json.encode(function.parameters).decode()
    return Tool(function.name, function.description or "", schema, bool(function.strict))


def _refuse_duplicates(tools: tuple[Tool, ...]) -> None:
    seen: set[str] = set()
    for i, tool in enumerate(tools):
        if tool.name in seen:
            raise invalid(f"tools[{i}].function.name", f"Two tools are named '{tool.name}'.")
        seen.add(tool.name)


def choice_of(given: str | NamedToolChoice | None, *, parallel: bool | None, tools: tuple[Tool, ...]) -> ToolChoice:
    """The demand on tool use; "auto" is the default where there are tools, else "none"."""
    several = parallel is not False
    if given is None:
        return ToolChoice("auto" if tools else "none", parallel=several)
    if isinstance(given, NamedToolChoice):
        return _named(given, several, tools)
    if given not in {"none", "auto", "required"}:
        raise invalid("tool_choice", "'tool_choice' must be 'none', 'auto', 'required' or name a function.")
    if given == "required" and not tools:
        raise invalid("tool_choice", "'tool_choice' is 'required', but there are no 'tools'.")
    return ToolChoice(given if tools else "none", parallel=several)


def _named(given: NamedToolChoice, several: bool, tools: tuple[Tool, ...]) -> ToolChoice:  # noqa: FBT001 - as named above
    if given.type != "function":
        raise unsupported("tool_choice.type", "Only a 'tool_choice' of the type 'function' is supported.")
    name = given.function.name if given.function else ""
    if not any(tool.name == name for tool in tools):
        raise invalid("tool_choice.function.name", "'tool_choice' names a function that is not in 'tools'.")
    return ToolChoice("named", name, several)


def guided_of(form: ResponseFormat | None) -> Guided | None:
    """The grammar of the answer; raises PlatformError for a form that is not known or a schema that is no object."""
    if form is None or form.type == "text":
        return None
    if form.type == "json_object":
        return Guided(json_object=True)
    if form.type != "json_schema":
        raise invalid("response_format.type", "'response_format.type' must be text, json_object or json_schema.")
    if form.json_schema is None or form.json_schema.schema is None:
        raise invalid("response_format.json_schema.schema", "The type 'json_schema' needs 'json_schema.schema'.")
    if not isinstance(form.json_schema.schema, dict):
        raise _no_object("response_format.json_schema.schema")
    return Guided(json_schema=msgspec.json.encode(form.json_schema.schema).decode())


def _no_object(param: str) -> PlatformError:
    return PlatformError(
        Reason.INVALID_SCHEMA, f"'{param}' must be a JSON Schema, which is an object.", started=False, param=param
    )
