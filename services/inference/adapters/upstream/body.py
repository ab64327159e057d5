"""The request body for an OpenAI-compatible endpoint, built from an allowlist."""

from __future__ import annotations

import json
from typing import Any

from libs.errors import PlatformError, Reason
from services.inference.domain.request import Common, Guided, MessagesWork, Sampling
from services.inference.domain.tools import openai_tools


def chat_body(work: MessagesWork, model: str, max_tokens_field: str) -> dict[str, Any]:
    """Body of `POST /chat/completions`, always streamed with usage. Raises PlatformError for what has no form there."""
    common = work.common
    body: dict[str, Any] = {
        "model": model,
        "messages": work.messages,
        "stream": True,
        "stream_options": {"include_usage": True},
        max_tokens_field: common.sampling.max_tokens,
        **_sampling(common.sampling),
    }
    if common.guided is not None:
        body["response_format"] = _response_format(common.guided)
    if common.tools:
        body["tools"] = openai_tools(common.tools)
        body["tool_choice"] = _tool_choice(common)
        if not common.tool_choice.parallel:
            body["parallel_tool_calls"] = False
    return body


def _sampling(given: Sampling) -> dict[str, Any]:
    optional = {
        "temperature": given.temperature,
        "top_p": given.top_p,
        "top_k": given.top_k,
        "min_p": given.min_p,
        "seed": given.seed,
        "repetition_penalty": given.repetition_penalty,
        "stop": list(given.stop) or None,
        "stop_token_ids": list(given.stop_token_ids) or None,
        "presence_penalty": given.presence_penalty or None,
        "frequency_penalty": given.frequency_penalty or None,
        "logit_bias": {str(token): bias for token, bias in given.logit_bias.items()} or None,
        "n": given.n if given.n > 1 else None,
        "min_tokens": given.min_tokens or None,
        "ignore_eos": given.ignore_eos or None,
    }
    return {name: value for name, value in optional.items() if value is not None}


def _response_format(guided: Guided) -> dict[str, Any]:
    if guided.regex is not None:
        raise PlatformError(
            Reason.UNSUPPORTED_PARAMETER, "this model takes no regex", started=False, param="response_format"
        )
    if guided.json_schema is None:
        return {"type": "json_object"}
    try:
        schema = json.loads(guided.json_schema)
    except (ValueError, RecursionError) as error:
        raise PlatformError(
            Reason.INVALID_SCHEMA, "the response schema is not JSON", started=False, param="response_format"
        ) from error
    return {"type": "json_schema", "json_schema": {"name": "response", "schema": schema}}


def _tool_choice(common: Common) -> Any:
    choice = common.tool_choice
    if choice.mode == "named":
        return {"type": "function", "function": {"name": choice.name}}
    return choice.mode
