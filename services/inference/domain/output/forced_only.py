"""Parsers for engines whose model follows grammars but was never taught a tool-call form."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from libs.ids import tool_call_id
from services.inference.domain.output.parser import OutputParser, PlainParser
from services.inference.domain.output.parsers_forced import NamedParser, RequiredParser
from services.inference.domain.request import Common


class ForcedParsers:
    """See OutputParsers: forced tool calls are parsed, all else is text."""

    def parser(self, common: Common, choice: int, prompt: Sequence[int]) -> OutputParser:  # noqa: ARG002 - protocol
        """See OutputParsers."""
        mode = common.tool_choice.mode
        if mode not in {"named", "required"}:
            return PlainParser()
        call_id = partial(tool_call_id, common.call_seed or common.request_id, choice)
        if mode == "named":
            return NamedParser(common.tool_choice.name, call_id)
        return RequiredParser(call_id)
