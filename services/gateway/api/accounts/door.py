"""Who calls a route of FastAPI's, and how that is described in `/openapi.json`."""

from __future__ import annotations

from typing import Any

from fastapi import Request, Security
from fastapi.security import HTTPBearer
from pydantic import BaseModel

from services.gateway.api.ports import Authenticator, admitted
from services.gateway.domain.turns import Principal


class ErrorInfo(BaseModel):
    """What happened, why, and what to do next; `param` names the field at fault."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorReply(BaseModel):
    """OpenAI's error body."""

    error: ErrorInfo


_SCHEME = HTTPBearer(scheme_name="bearer", auto_error=False, description="An API key, sk-hr-…")
_DESCRIBED = Security(_SCHEME)
_STATUSES = {
    400: "The request is wrong, or a key stands in the URL",
    401: "No key, or one that is not valid",
    403: "The caller's own, but its role may not do that",
    404: "There is none, or none that the caller may see",
    409: "The id is taken, or others change the record at this moment",
    422: "A field is wrong; `param` names it",
    503: "The store does not answer; see Retry-After",
}
# For the routers' `responses`.
ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorReply, "description": text} for status, text in _STATUSES.items()
}


def caller_of(door: Authenticator) -> Any:
    """The dependency that gives a route its Principal; raises INVALID_API_KEY.

    The scheme only describes: what a header is worth is for `admitted` to say, in this API's own words.
    """

    async def caller(request: Request, _: Any = _DESCRIBED) -> Principal:
        return await admitted(door, request.headers.get("authorization", ""))

    return Security(caller)
