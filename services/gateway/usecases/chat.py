"""One chat call, from a neutral request to a stream of events."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.events import Event


class ChatPipeline:
    """The pipeline under every wire protocol; one object for all calls of the process."""

    def chat(
        self, request: ChatRequest, principal: Principal, *, request_id: str, deadline: float
    ) -> AsyncGenerator[list[Event], None]:
        """Streams the answer in lists of what was ready in one tick: `Started` first, `Ended` last.

        `deadline` is `Clock.monotonic` seconds. Closing the iterator (or cancelling its task) aborts the worker's
        call at once. Raises PlatformError: before `Started` nothing was sent, later the answer is interrupted.
        """
        raise NotImplementedError

    def models(self) -> list[ModelInfo]:
        """Every name clients may use, sorted; the last known catalog when the router is away."""
        raise NotImplementedError

    def ready(self) -> bool:
        """True when a call could be served: the router is connected and a model has a live worker."""
        raise NotImplementedError
