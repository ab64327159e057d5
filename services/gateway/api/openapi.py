"""The hot route's part of `/openapi.json`: no FastAPI route, so its description is made from its structs."""

from __future__ import annotations

from typing import Any

import msgspec

from services.gateway.domain.choose import TIERS
from services.gateway.wire.openai_chat_types import ChatBody, ToolSpec

_REF = "#/components/schemas/{name}"
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}
_STATUSES = {
    "400": "The request is wrong, asks for what is not supported, or may cost too much; `param` names the field",
    "401": "No key, or one that is not valid",
    "404": "Unknown model, or a session of somebody else",
    "409": "The answer of this Idempotency-Key is too long to be kept",
    "413": "The body is too large",
    "422": "The Idempotency-Key was used for another request",
    "429": "Too much at once; see Retry-After",
    "503": "No worker can answer now; see Retry-After",
    "504": "The answer took longer than its deadline",
}
_IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "description": "Sent again with the same body, the call has one answer and one charge",
}
_MAX_COST = {
    "name": "x-headrace-max-cost",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Dollars that the call may cost at most, as `headrace.max_cost` in the body",
}
_MIN_TIER = {
    "name": "x-headrace-min-tier",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "enum": list(TIERS)},
    "description": "For the model `auto`: nothing below answers, as `headrace.min_tier` in the body",
}


def add_chat_route(document: dict[str, Any]) -> dict[str, Any]:
    """Adds the chat route and its schemas to an OpenAPI document, which is returned."""
    (body, tool), schemas = msgspec.json.schema_components([ChatBody, ToolSpec], ref_template=_REF)
    # Decoded from their raw text, which has no schema of its own.
    schemas["ChatBody"]["properties"]["tools"] = {"type": "array", "items": tool}
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update({**schemas, "Error": _ERROR})
    components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
    document.setdefault("paths", {})["/v1/chat/completions"] = {"post": _operation(body)}
    return document


def _operation(body: dict[str, Any]) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": _REF.format(name="Error")}}}
    answers: dict[str, Any] = {
        "200": {
            "description": "A `chat.completion`, or with `stream` its chunks as server-sent events",
            "content": {"application/json": {}, "text/event-stream": {}},
        }
    }
    answers.update({status: {"description": text, "content": error} for status, text in _STATUSES.items()})
    return {
        "summary": "Chat, as OpenAI's API",
        "operationId": "chat_completions",
        "security": [{"bearer": []}],
        "parameters": [_IDEMPOTENCY_KEY, _MAX_COST, _MIN_TIER],
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": answers,
    }
