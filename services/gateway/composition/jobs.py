"""The jobs service's edge, and the files that both services share."""

from __future__ import annotations

import random
from contextlib import AsyncExitStack

from libs.app import App
from libs.blobs import LocalBlobs
from libs.files import FileStore
from libs.rpc.dial import dial
from libs.telemetry import get_logger
from services.gateway.adapters.jobs import RpcJobs
from services.gateway.settings import GatewaySettings

_log = get_logger("gateway")


def open_jobs(
    settings: GatewaySettings, stack: AsyncExitStack, app: App
) -> tuple[RpcJobs, FileStore] | tuple[None, None]:
    """Both, or none where no jobs service is named. Nothing is connected yet."""
    edge = settings.jobs
    if not edge.addresses:
        _log.info("jobs are not taken", why="jobs.addresses is empty")
        return None, None
    token, trunks = settings.internal_token(), app.telemetry.trunks
    channels = [
        dial(address, edge.transport, identity="gateway", token=token, trunks=trunks) for address in edge.addresses
    ]
    jobs = RpcJobs(channels, app.clock, random.random)
    stack.push_async_callback(jobs.close)
    blobs = LocalBlobs(settings.blobs_path, fsync=settings.records.fsync)
    return jobs, FileStore(blobs, app.clock, settings.files)
