"""The router's composition root."""

from __future__ import annotations

from contextlib import AsyncExitStack

from libs.app import App, run_service
from libs.rpc.api import Channel
from libs.rpc.dial import dial
from libs.rpc.server import RpcServer
from libs.settings import load
from libs.valkey import Valkey
from services.router.adapters.bindings import ValkeyBindings
from services.router.adapters.session_tiers import ValkeySessionRoutes
from services.router.adapters.variant_store import ValkeyVariants
from services.router.composition.choice import ChoicePorts, splits_of
from services.router.composition.service import Ports, Router, compose
from services.router.domain.classifier import Classifier
from services.router.settings import RouterSettings

__all__ = ["Ports", "Router", "compose", "main"]

IDENTITY = "router"


async def build(settings: RouterSettings, stack: AsyncExitStack, app: App) -> None:
    """Opens what a process needs. A store that is down delays nothing: bindings are uncertain until it answers."""
    token, telemetry = settings.internal_token(), app.telemetry
    valkey = Valkey(settings.valkey, app.clock)
    stack.push_async_callback(valkey.close)
    await valkey.ready()

    def dial_worker(address: str) -> Channel:
        return dial(address, settings.workers_transport, identity=IDENTITY, token=token, trunks=telemetry.trunks)

    ttl_seconds = settings.bindings.ttl_seconds
    choice = ChoicePorts(
        Classifier.load(None), ValkeySessionRoutes(valkey, ttl_seconds), ValkeyVariants(valkey, splits_of(settings))
    )
    store = ValkeyBindings(valkey, ttl_seconds)
    router = compose(settings, Ports(store, dial_worker, app.clock, app.telemetry.registry, choice))
    server = RpcServer(
        IDENTITY,
        router.api.handlers(),
        settings.rpc,
        clock=app.clock,
        token=token,
        hooks=telemetry.hooks,
        trunks=telemetry.trunks,
    )
    app.serve(server)
    for name, loop in router.loops.items():
        app.spawn(loop(), name)
    await server.start()


def main() -> None:
    """Runs the router until a signal."""
    settings = load(RouterSettings)
    run_service("router", settings, lambda stack, app: build(settings, stack, app))


if __name__ == "__main__":
    main()
