"""The model catalog: a subscription to the router's WatchModels; while it is broken, the last catalog stands."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable

from headrace.router.v1 import router_pb2

from libs.clock import Clock
from libs.errors import PlatformError, Reason
from libs.rpc.api import Channel
from services.gateway import convert
from services.gateway.adapters.router import WATCH_MODELS
from services.gateway.domain.models import ModelInfo

# Every call has a deadline: the subscription is renewed once an hour.
SUBSCRIPTION_SECONDS = 3600.0
PAUSE_SECONDS_FIRST = 0.05
PAUSE_SECONDS_MAX = 1.0


class WatchedCatalog:
    """See ports.Catalog. `start` and `close` frame its life."""

    def __init__(self, channel: Channel, clock: Clock, jitter: random.Random | None = None) -> None:
        self._channel = channel
        self._clock = clock
        self._jitter = jitter or random.Random()  # noqa: S311 - spreads reconnects, guards nothing
        self._models: dict[str, ModelInfo] = {}
        self._connected = False
        self._version = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def find(self, name: str) -> ModelInfo | None:
        """See ports.Catalog."""
        return self._models.get(name)

    def models(self) -> list[ModelInfo]:
        """See ports.Catalog."""
        return sorted(self._models.values(), key=lambda model: model.name)

    def connected(self) -> bool:
        """See ports.Catalog."""
        return self._connected

    def version(self) -> int:
        """Goes up with every catalog that comes: the router sends one whenever a worker joins, leaves or drains."""
        return self._version

    def start(self) -> None:
        """Begins to watch; returns at once."""
        self._task = asyncio.get_running_loop().create_task(self._watch(), name="model-catalog")

    async def changed(self) -> None:
        """Waits until the router has spoken, or was lost, since the last time this returned; for one waiter."""
        await self._changed.wait()
        self._changed.clear()

    async def close(self) -> None:
        """Ends the subscription. A repeat does nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _watch(self) -> None:
        pause = PAUSE_SECONDS_FIRST
        while True:
            if await self._subscribe():
                pause = PAUSE_SECONDS_FIRST
            await self._clock.sleep(pause * (0.5 + self._jitter.random() / 2))
            pause = min(pause * 2, PAUSE_SECONDS_MAX)

    async def _subscribe(self) -> bool:
        """Follows one subscription to its end; True when it brought a catalog."""
        brought = False
        request = router_pb2.WatchModelsRequest()
        stream = self._channel.stream(WATCH_MODELS, request, timeout=SUBSCRIPTION_SECONDS)
        try:
            async for response in stream:
                brought = True
                self._take(response.models)
        except PlatformError as error:
            # Its hour is over: no loss. Any other end shows as connected() = False, and calls name the cause.
            self._connected = error.reason is Reason.DEADLINE_EXCEEDED and brought
        else:
            self._connected = False
        finally:
            stream.cancel()
            self._changed.set()
        return brought

    def _take(self, models: Iterable[router_pb2.Model]) -> None:
        self._models = {model.name: convert.model_info(model) for model in models}
        self._connected = True
        self._version += 1
        self._changed.set()
