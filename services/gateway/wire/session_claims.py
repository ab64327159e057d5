"""What a request says of its session: explicit ids carry state, affinity keys only place.

The order of precedence is design's: our own header, the body, then what agent harnesses send.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b

from services.gateway.domain.turns import Role, SessionClaim, Turn
from services.gateway.wire.refusals import invalid

ID_CHARS_MAX = 255
HEADER = "x-session-id"
ROOT_HEADER = "x-root-session-id"
# Behind our own header and the body's `session_id`, in this order.
_HARNESS_HEADERS = (
    "x-session-affinity",
    "x-claude-code-session-id",
    "session-id",
    "session_id",
    "x-opencode-session",
    "x-openwebui-chat-id",
    "x-litellm-session-id",
)
# Where a source lies in the body.
_PARAMS = {"body": "session_id", "metadata": "metadata.session_id"}
HEADERS = frozenset((HEADER, ROOT_HEADER, *_HARNESS_HEADERS))


def claim_of(
    headers: Mapping[str, str],
    *,
    session_id: str | None,
    later: Iterable[tuple[str, str | None]],
    root: str | None,
    prompt_cache_key: str | None,
    tenant: str,
    turns: tuple[Turn, ...],
) -> SessionClaim:
    """The claim of one request.

    `headers` are those of HEADERS that came, lower case. `later` are (source, id) pairs tried after all headers.
    Raises PlatformError(INVALID_REQUEST) for an id that is too long or has control characters.
    """
    root = _checked(headers.get(ROOT_HEADER) or root or "", "root_session_id")
    explicit, source = _explicit(headers, session_id, later) if headers or session_id else _first(later)
    if explicit:
        return SessionClaim(_checked(explicit, _PARAMS.get(source, source)), source, root=root)
    if prompt_cache_key:
        key = _digest(tenant, "key", _checked(prompt_cache_key, "prompt_cache_key", 1024))
    else:
        key = _prefix_key(tenant, turns)
    return SessionClaim("", "affinity", key, root)


def _explicit(
    headers: Mapping[str, str], session_id: str | None, later: Iterable[tuple[str, str | None]]
) -> tuple[str, str]:
    own = headers.get(HEADER, "").strip()
    if own:
        return own, HEADER
    if session_id:
        return session_id, "body"
    for name in _HARNESS_HEADERS:
        found = headers.get(name, "").strip()
        if found:
            return found, name
    return _first(later)


def _first(candidates: Iterable[tuple[str, str | None]]) -> tuple[str, str]:
    for source, found in candidates:
        if found:
            return found, source
    return "", "none"


def _checked(text: str, param: str, most: int = ID_CHARS_MAX) -> str:
    """Ids come back in headers and go into store keys: no control characters, bounded."""
    if len(text) > most:
        raise invalid(param, f"'{param}' has {len(text)} characters; at most {most} are taken.")
    if text and not text.isprintable():
        raise invalid(param, f"'{param}' holds characters that cannot be printed.")
    return text


def _prefix_key(tenant: str, turns: tuple[Turn, ...]) -> str:
    """The same for every turn of one conversation: tenant, system prompt, first user message."""
    parts = [tenant]
    for turn in turns:
        if turn.role is Role.SYSTEM:
            parts.append(turn.text)
        elif turn.role is Role.USER:
            parts.append(turn.text)
            break
    return _digest(*parts)


def _digest(*parts: str) -> str:
    return blake2b("\0".join(parts).encode("utf-8", "replace"), digest_size=16).hexdigest()
