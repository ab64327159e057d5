"""Keys do not belong into URLs: proxies, browsers and logs keep those. Such requests are refused, and never repeated.

LiteLLM's scripts select keys by their text in three query parameters and one path; there it names the object of the
request, never the caller.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

from libs.errors import PlatformError, Reason
from services.gateway.wire.key_texts import KEY_TEXT

# Parameters that other APIs take credentials in.
_CREDENTIALS = frozenset({"api_key", "api-key", "apikey", "access_token", "authorization", "x-api-key"})
_SELECTORS: Mapping[str, str] = {
    "/key/info": "key",
    "/spend/logs": "api_key",
    "/global/spend/report": "api_key",
}
_PATH_SELECTOR = re.compile(r"/key/[^/]+/regenerate")


def refusal_of(scope: Mapping[str, Any]) -> PlatformError | None:
    """The 400 for a request whose URL holds a key, else None. Costs the hot path one look at an empty query."""
    query: bytes = scope["query_string"]
    path: str = scope["path"]
    if query and _holds_key(path, query.decode("latin-1")):
        return _refusal("query")
    if "sk-" in path and KEY_TEXT.search(path) and not _PATH_SELECTOR.fullmatch(path):
        return _refusal("path")
    return None


def _holds_key(path: str, query: str) -> bool:
    selector = _SELECTORS.get(path)
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name == selector:
            continue
        if name.lower() in _CREDENTIALS or KEY_TEXT.search(name) or KEY_TEXT.search(value):
            return True
    # What does not parse as name=value is looked through as a whole.
    return selector is None and KEY_TEXT.search(unquote_plus(query)) is not None


def _refusal(where: str) -> PlatformError:
    return PlatformError(
        Reason.INVALID_REQUEST,
        f"An API key stands in the URL's {where}, where logs and proxies keep it. Send it as 'Authorization: Bearer "
        "sk-hr-…', and rotate it if it was a real one.",
        started=False,
    )
