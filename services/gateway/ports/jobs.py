"""The jobs service, as the public face needs it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Protocol

from google.protobuf.message import Message

from services.gateway.domain.turns import Principal


class JobService(Protocol):
    """`headrace.jobs.v1.JobService` in a caller's name. Methods are named as in the proto ("GetJob").

    Raises PlatformError: the service's own, or JOBS_UNAVAILABLE when no replica answers.
    """

    async def call(self, name: str, request: Message, principal: Principal, *, timeout: float, key: str = "") -> Any:
        """One response within `timeout` seconds. A lost replica's call is made again by another one, so what submits
        needs an idempotency `key`.
        """
        ...

    def stream(self, name: str, request: Message, principal: Principal, *, timeout: float) -> AsyncGenerator[Any, None]:
        """Responses until the service ends them, or `timeout` seconds are over (DEADLINE_EXCEEDED). Closing the
        iterator ends the call.
        """
        ...
