from __future__ import annotations

import pytest

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Tool
from services.inference.domain.tools import openai_tools


def test_tools_take_openais_form():
    tools = openai_tools([Tool("f", "adds", '{"type": "object"}', strict=True), Tool("g", "", "")])
    assert tools == [
        {
            "type": "function",
            "function": {"name": "f", "description": "adds", "parameters": {"type": "object"}, "strict": True},
        },
        {"type": "function", "function": {"name": "g"}},
    ]


def test_parameters_that_are_no_json_are_refused():
    with pytest.raises(PlatformError) as caught:
        openai_tools([Tool("f", "", "{")])
    assert caught.value.reason is Reason.INVALID_SCHEMA
