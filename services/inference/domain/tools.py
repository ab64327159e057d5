"""Tools in OpenAI's form, which templates and OpenAI-compatible endpoints read."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Tool


def openai_tools(tools: Iterable[Tool]) -> list[dict[str, Any]]:
    """Tools as `{"type": "function", "function": …}`. Raises PlatformError(INVALID_SCHEMA) for what is no JSON."""
    return [{"type": "function", "function": _function(tool)} for tool in tools]


def _function(tool: Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name}
    if tool.description:
        function["description"] = tool.description
    if tool.parameters_json:
        function["parameters"] = _parameters(tool)
    if tool.strict:
        function["strict"] = True
    return function


def _parameters(tool: Tool) -> Any:
    try:
        return json.loads(tool.parameters_json)
    except (ValueError, RecursionError) as error:
        raise PlatformError(
            Reason.INVALID_SCHEMA,
            f"the parameters of tool {tool.name!r} are not JSON",
            started=False,
            param="tools",
        ) from error
