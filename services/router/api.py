"""The RPCs of RouterService, for both transports."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from headrace.router.v1 import router_pb2 as router

from libs.rpc.api import CallInfo, Handler, Responder
from libs.rpc.method import method
from services.router import convert
from services.router.api_choice import ChoiceApi
from services.router.usecases.capacity import CapacityWatch
from services.router.usecases.fleet import Fleet
from services.router.usecases.outcomes import OutcomeBoard
from services.router.usecases.placing import Placing

_SERVICE = router.DESCRIPTOR.services_by_name["RouterService"]
PLACE = method(_SERVICE, "Place", router.PlaceRequest, router.PlaceResponse)
WATCH_MODELS = method(_SERVICE, "WatchModels", router.WatchModelsRequest, router.WatchModelsResponse)
REPORT = method(_SERVICE, "Report", router.ReportRequest, router.ReportResponse)
WATCH_CAPACITY = method(_SERVICE, "WatchCapacity", router.WatchCapacityRequest, router.WatchCapacityResponse)
LIST_WORKERS = method(_SERVICE, "ListWorkers", router.ListWorkersRequest, router.ListWorkersResponse)

# Only a gateway may state a tenant.
_GATEWAYS = frozenset({"gateway"})


class RouterApi:
    """Serves the RPCs; errors leave as PlatformError."""

    def __init__(
        self, fleet: Fleet, placing: Placing, choice: ChoiceApi, outcomes: OutcomeBoard, capacity: CapacityWatch
    ) -> None:
        self._fleet = fleet
        self._placing = placing
        self._choice = choice
        self._outcomes = outcomes
        self._capacity = capacity
        self._noting = False

    def handlers(self) -> list[Handler]:
        """For RpcServer."""
        return [
            Handler(PLACE, self.place, _GATEWAYS, quick=self.place_at_once),
            *self._choice.handlers(),
            Handler(REPORT, self.report, _GATEWAYS),
            Handler(WATCH_MODELS, self.watch_models),
            Handler(WATCH_CAPACITY, self.watch_capacity),
            Handler(LIST_WORKERS, self.list_workers),
        ]

    async def place(self, request: router.PlaceRequest, info: CallInfo) -> router.PlaceResponse:  # noqa: ARG002 -- Handler's shape
        """Orders workers."""
        found = await self._placing.place(convert.place_query(request))
        self._note_behind_the_reply()
        return convert.place_response(found)

    def place_at_once(self, request: router.PlaceRequest, info: CallInfo) -> router.PlaceResponse | None:  # noqa: ARG002 -- Handler's shape
        """Orders workers when no store is needed, which spares a task per call; None = ask `place`."""
        found = self._placing.at_once(convert.place_query(request))
        if found is None:
            return None
        self._note_behind_the_reply()
        return convert.place_response(found)

    def _note_behind_the_reply(self) -> None:
        """A trunk writes an answer in the loop's next turn: the one after that is when nobody waits for it any more."""
        if not self._noting and self._placing.unnoted:
            self._noting = True
            loop = asyncio.get_running_loop()
            loop.call_soon(loop.call_soon, self._note)

    def _note(self) -> None:
        self._noting = False
        self._placing.note()

    async def report(self, request: router.ReportRequest, info: CallInfo) -> router.ReportResponse:  # noqa: ARG002 -- Handler's shape
        """Takes in what became of a gateway's attempts."""
        self._outcomes.take(convert.outcomes(request))
        return router.ReportResponse()

    async def list_workers(self, request: router.ListWorkersRequest, info: CallInfo) -> router.ListWorkersResponse:  # noqa: ARG002 -- Handler's shape
        """Tells what is known of each worker."""
        return router.ListWorkersResponse(workers=[convert.worker(worker) for worker in self._fleet.workers])

    async def watch_capacity(
        self,
        request: router.WatchCapacityRequest,
        responder: Responder[Any],
        info: CallInfo,  # noqa: ARG002 -- Handler's shape
    ) -> None:
        """Sends what a pool could take at once, after changes and every second, until the peer goes."""
        gone = False

        def leave() -> None:
            nonlocal gone
            gone = True

        responder.on_cancel(leave)
        async with aclosing(self._capacity.watch(request.pool)) as watch:
            async for seen in watch:  # at least once a second: a peer that went is noticed then
                if gone:
                    return
                responder.send(router.WatchCapacityResponse(**seen._asdict()))

    async def watch_models(
        self,
        request: router.WatchModelsRequest,  # noqa: ARG002 -- Handler's shape
        responder: Responder[Any],
        info: CallInfo,  # noqa: ARG002 -- Handler's shape
    ) -> None:
        """Sends the catalog at once and after every change, until the peer goes."""
        news, gone = asyncio.Event(), False

        def leave() -> None:
            nonlocal gone
            gone = True
            news.set()

        responder.on_cancel(leave)
        sent: router.WatchModelsResponse | None = None
        seen = self._choice.generation
        with self._fleet.listening(news.set), self._choice.listening(news.set):
            while not gone:
                catalog = self._choice.models(self._fleet.catalog)
                # A new split does not show in the catalog, but gateways ask again after one.
                if catalog != sent or self._choice.generation != seen:
                    responder.send(catalog)
                    sent, seen = catalog, self._choice.generation
                await news.wait()
                news.clear()
