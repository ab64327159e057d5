"""`/openapi.json` of jobs, files and batches, which are no FastAPI routes. What bodies hold: docs/jobs.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

_ERROR = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
_JSON, _LINES, _EVENTS = "application/json", "application/x-ndjson", "text/event-stream"
_STATUSES = {
    "400": "The request is wrong; `param` names the field",
    "401": "No key, or one that is not valid",
    "404": "There is none, or none that the caller may see",
    "501": "This gateway has no jobs service",
    "503": "The jobs service or the store does not answer; see Retry-After",
}
_MORE = {
    "409": "It has ended, and cannot be cancelled",
    "413": "Too large; `param` names what",
    "422": "The Idempotency-Key was used for another body",
    "429": "Too much at once, or the budget does not suffice; see Retry-After",
}
_KEY = ("Idempotency-Key", "header", "Sent again with the same body, it is the same job")
_AFTER = ("after", "query", "Id of the last entry of the page before")
_LIMIT = ("limit", "query", "Entries of a page")

Parameter = tuple[str, str, str]


def add_job_routes(document: dict[str, Any]) -> dict[str, Any]:
    """Adds the routes to an OpenAPI document, which is returned."""
    paths = document.setdefault("paths", {})
    for name, method, path, summary, more in _OPERATIONS:
        operation = _operation(name, path, summary, **more)
        paths.setdefault(path, {})[method] = operation
    return document


def _operation(
    name: str,
    path: str,
    summary: str,
    *,
    answer: tuple[str, str] = ("200", _JSON),
    takes: str = "",
    parameters: Sequence[Parameter] = (),
    errors: Sequence[str] = (),
) -> dict[str, Any]:
    status, kind = answer
    told = {status: {"description": summary, "content": {kind: {}}}}
    failures = _STATUSES | {code: _MORE[code] for code in errors}
    told |= {code: {"description": text, "content": _ERROR} for code, text in sorted(failures.items())}
    of_path: Sequence[Parameter] = [("id", "path", "Its id")] if "{id}" in path else []
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": name,
        "tags": [path.split("/")[2]],
        "security": [{"bearer": []}],
        "parameters": [_parameter(*each) for each in (*of_path, *parameters)],
        "responses": told,
    }
    if takes:
        operation["requestBody"] = {"required": True, "content": {takes: {"schema": {"type": "object"}}}}
    return operation


def _parameter(name: str, where: str, description: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "schema": {"type": "string"},
        "description": description,
    }


_SUBMIT = ("413", "422", "429")
_FORM = "multipart/form-data"
_OPERATIONS: Sequence[tuple[str, str, str, str, dict[str, Any]]] = (
    (
        "submit_job", "post", "/v1/jobs", "A chat request, or many, to be answered later",
        {"answer": ("202", _JSON), "takes": _JSON, "parameters": [_KEY], "errors": _SUBMIT},
    ),
    (
        "list_jobs", "get", "/v1/jobs", "The caller's jobs, newest first",
        {"parameters": [_AFTER, _LIMIT, ("status", "query", "Jobs of this status only")]},
    ),
    ("get_job", "get", "/v1/jobs/{id}", "A job, with its first results", {}),
    ("cancel_job", "post", "/v1/jobs/{id}/cancel", "Ends a job", {}),
    (
        "read_results", "get", "/v1/jobs/{id}/results", "Results that are there, a JSON document a line",
        {"answer": ("200", _LINES), "parameters": [("first", "query", "From this request on")]},
    ),
    (
        "watch_job", "get", "/v1/jobs/{id}/events", "News of a job, until it has ended",
        {
            "answer": ("200", _EVENTS),
            "parameters": [("Last-Event-ID", "header", "The version that the client has")],
            "errors": ["429"],
        },
    ),
    (
        "create_file", "post", "/v1/files", "Uploads a file, as OpenAI's API",
        {"takes": _FORM, "errors": ["413", "429"]},
    ),
    (
        "list_files", "get", "/v1/files", "The caller's files",
        {
            "parameters": [
                _AFTER, _LIMIT, ("order", "query", "asc or desc"), ("purpose", "query", "Files of this purpose only"),
            ]
        },
    ),
    ("get_file", "get", "/v1/files/{id}", "What is known of a file", {}),
    ("delete_file", "delete", "/v1/files/{id}", "Deletes a file", {}),
    (
        "read_file", "get", "/v1/files/{id}/content", "The bytes of a file",
        {"answer": ("200", "application/octet-stream")},
    ),
    (
        "create_batch", "post", "/v1/batches", "A file of requests, as OpenAI's API",
        {"takes": _JSON, "parameters": [_KEY], "errors": _SUBMIT},
    ),
    ("list_batches", "get", "/v1/batches", "The caller's batches, newest first", {"parameters": [_AFTER, _LIMIT]}),
    ("get_batch", "get", "/v1/batches/{id}", "A batch", {}),
    ("cancel_batch", "post", "/v1/batches/{id}/cancel", "Ends a batch", {"errors": ["409"]}),
)  # fmt: skip
