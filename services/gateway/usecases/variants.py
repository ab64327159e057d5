"""Which model variants may answer a call, in order, each with its prompt prepared."""

from __future__ import annotations

from collections import deque
from datetime import datetime

from libs.errors import PlatformError, Reason
from services.gateway.domain.models import ModelInfo
from services.gateway.domain.turns import ChatRequest, Principal
from services.gateway.domain.work import Work
from services.gateway.ports import Catalog, Metadata, Router
from services.gateway.usecases.deadline import Deadline
from services.gateway.usecases.prepare import Preparer

AUTO = "auto"


class Variants:
    """Names come from the request, or from the router's Choose for "auto"; variants from the catalog."""

    __slots__ = ("_catalog", "_deadline", "_info", "_metadata", "_names", "_preparer", "_principal", "_request")

    def __init__(
        self,
        catalog: Catalog,
        preparer: Preparer,
        request: ChatRequest,
        principal: Principal,
        *,
        deadline: Deadline,
        metadata: Metadata,
    ) -> None:
        self._catalog = catalog
        self._preparer = preparer
        self._request = request
        self._principal = principal
        self._deadline = deadline
        self._metadata = metadata
        self._names: deque[str] = deque()
        self._info: ModelInfo | None = None

    async def resolve(self, router: Router, timeout: float) -> None:
        """Settles which names may answer. Raises MODEL_NOT_FOUND, or ROUTER_UNAVAILABLE when nobody can tell."""
        name = self._request.model
        info = self._catalog.find(name)
        if info is not None:
            self._info = info
            return
        if name != AUTO:
            raise self._unknown(name)
        left = self._deadline.left(timeout)
        chosen = await router.choose(name, self._request.session.explicit, timeout=left, metadata=self._metadata)
        self._names.extend(chosen)
        if not self._step():
            raise self._unknown(name)

    async def prepare(self, request_id: str, opened: datetime | None) -> Work:
        """The work for the variant at hand. Raises PlatformError as Preparer does."""
        if self._info is None:
            raise RuntimeError("resolve() comes before prepare()")
        return await self._preparer.prepare(
            self._request,
            self._info,
            self._principal,
            request_id=request_id,
            opened=opened,
            deadline=self._deadline,
        )

    def another(self) -> bool:
        """Moves on: to what the same name stands for by now, else to the next name. False when there is none."""
        if self._info is None:
            return False
        current = self._catalog.find(self._info.name)
        if current is not None and current.model_digest != self._info.model_digest:
            self._info = current
            return True
        return self._step()

    def _step(self) -> bool:
        while self._names:
            self._info = self._catalog.find(self._names.popleft())
            if self._info is not None:
                return True
        return False

    def _unknown(self, name: str) -> PlatformError:
        if not self._catalog.connected():
            message = "The router does not answer, so it is not known which models there are. Try again shortly."
            return PlatformError(Reason.ROUTER_UNAVAILABLE, message, retry_after_seconds=1.0, started=False)
        message = f"The model '{name}' does not exist. GET /v1/models lists those that do."
        return PlatformError(Reason.MODEL_NOT_FOUND, message, started=False, param="model")
