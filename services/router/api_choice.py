"""The RPCs that choose models: Choose, and the operators' view of variants."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from headrace.router.v1 import router_pb2 as router

from libs.rpc.api import CallInfo, Handler
from libs.rpc.method import method
from services.router import convert_choice as convert
from services.router.domain.catalog import Catalog
from services.router.domain.tiers import Tiers
from services.router.usecases.choosing import Choosing
from services.router.usecases.variants import VariantDesk

_SERVICE = router.DESCRIPTOR.services_by_name["RouterService"]
CHOOSE = method(_SERVICE, "Choose", router.ChooseRequest, router.ChooseResponse)
LIST_VARIANTS = method(_SERVICE, "ListVariants", router.ListVariantsRequest, router.ListVariantsResponse)
SET_VARIANTS = method(_SERVICE, "SetVariants", router.SetVariantsRequest, router.SetVariantsResponse)

# Only a gateway may state a tenant.
_GATEWAYS = frozenset({"gateway"})
# Weights are changed by people with the installation's token, not by services.
_OPERATORS = frozenset({"cli"})


class ChoiceApi:
    """Serves the RPCs; errors leave as PlatformError."""

    def __init__(self, choosing: Choosing, desk: VariantDesk, tiers: Tiers) -> None:
        self._choosing = choosing
        self._desk = desk
        self._tiers = tiers

    def handlers(self) -> list[Handler]:
        """For RpcServer."""
        return [
            Handler(CHOOSE, self.choose, _GATEWAYS, quick=self.choose_at_once),
            Handler(LIST_VARIANTS, self.list_variants),
            Handler(SET_VARIANTS, self.set_variants, _OPERATORS),
        ]

    async def choose(self, request: router.ChooseRequest, info: CallInfo) -> router.ChooseResponse:  # noqa: ARG002 -- Handler's shape
        """Orders models."""
        return convert.choose_response(await self._choosing.choose(convert.choose_query(request)))

    def choose_at_once(self, request: router.ChooseRequest, info: CallInfo) -> router.ChooseResponse | None:  # noqa: ARG002 -- Handler's shape
        """Orders models when no store is needed, which spares a task per call; None = ask `choose`."""
        found = self._choosing.at_once(convert.choose_query(request))
        return None if found is None else convert.choose_response(found)

    @property
    def generation(self) -> int:
        """Goes up when splits change: what gateways remember of earlier choices is then old, as with a catalog."""
        return self._desk.generation

    def listening(self, listener: Callable[[], None]) -> AbstractContextManager[None]:
        """Calls `listener` after such a change, until the block ends."""
        return self._desk.listening(listener)

    def models(self, catalog: Catalog) -> router.WatchModelsResponse:
        """The catalog with the names that are routed."""
        return convert.models(catalog, self._tiers, self._desk.splits)

    async def list_variants(self, request: router.ListVariantsRequest, info: CallInfo) -> router.ListVariantsResponse:  # noqa: ARG002 -- Handler's shape
        """Tells how pools are split."""
        pools = [convert.pool_variants(split, self._desk.told(pool)) for pool, split in self._desk.splits.items()]
        return router.ListVariantsResponse(pools=pools)

    async def set_variants(self, request: router.SetVariantsRequest, info: CallInfo) -> router.SetVariantsResponse:  # noqa: ARG002 -- Handler's shape
        """Changes weights for all replicas."""
        split = await self._desk.set_weights(request.pool, dict(request.weights))
        return router.SetVariantsResponse(pool=convert.pool_variants(split, self._desk.told(request.pool)))
