"""Whose session it is, and where calls without one are best placed."""

from __future__ import annotations

import hashlib

from libs.errors import PlatformError, Reason
from services.gateway.domain.turns import ChatRequest, Principal, Role

SESSION_ID_CHARACTERS_MAX = 255


def owner_digest(principal: Principal, user: str) -> str:
    """Hex SHA-256 of (tenant, key, user): what a session is bound to. Neither tenants nor key ids hold a NUL."""
    return hashlib.sha256(f"{principal.tenant}\0{principal.key_id}\0{user}".encode()).hexdigest()


def check_session_id(session: str) -> None:
    """Raises INVALID_REQUEST for an id that is too long to be kept."""
    if len(session) > SESSION_ID_CHARACTERS_MAX:
        message = f"The session id has {len(session)} characters; send at most {SESSION_ID_CHARACTERS_MAX}."
        raise PlatformError(Reason.INVALID_REQUEST, message, started=False, param="session_id")


def affinity_key(request: ChatRequest, tenant: str) -> str:
    """Key that places calls of one conversation together: the client's own, else of its system prompt and first words.

    It never carries state: equal openings of different conversations share it.
    """
    if request.session.affinity_key:
        return request.session.affinity_key
    system = user = ""
    for turn in request.turns:
        if turn.role is Role.SYSTEM and not system:
            system = turn.text
        elif turn.role is Role.USER:
            user = turn.text
            break
    return hashlib.sha256(f"{tenant}\0{len(system)}\0{system}{user}".encode()).hexdigest()[:32]
