"""Calls to the platform's inner RPCs, with the installation's own token."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from headrace.inference.v1 import inference_pb2
from headrace.router.v1 import router_pb2

from libs.errors import PlatformError
from libs.rpc.api import Channel
from libs.rpc.dial import dial
from libs.rpc.method import method

IDENTITY = "cli"
TIMEOUT_SECONDS = 2.0

_INFERENCE = inference_pb2.DESCRIPTOR.services_by_name["InferenceService"]
_ROUTER = router_pb2.DESCRIPTOR.services_by_name["RouterService"]
DESCRIBE = method(_INFERENCE, "DescribeModel", inference_pb2.DescribeModelRequest, inference_pb2.DescribeModelResponse)
LIST_VARIANTS = method(_ROUTER, "ListVariants", router_pb2.ListVariantsRequest, router_pb2.ListVariantsResponse)
SET_VARIANTS = method(_ROUTER, "SetVariants", router_pb2.SetVariantsRequest, router_pb2.SetVariantsResponse)
LIST_WORKERS = method(_ROUTER, "ListWorkers", router_pb2.ListWorkersRequest, router_pb2.ListWorkersResponse)


def _channel(port: int, token_file: Path) -> Channel:
    return _channel_to(f"127.0.0.1:{port}", token_file)


def _channel_to(address: str, token_file: Path) -> Channel:
    return dial(address, "grpc", identity=IDENTITY, token=token_file.read_text(encoding="utf-8").strip())


async def describe_worker(port: int, token_file: Path) -> str:
    """The boot id of the worker on this port; "" when it does not say. Raises OSError without a token."""
    channel = _channel(port, token_file)
    try:
        answer = await channel.call(DESCRIBE, inference_pb2.DescribeModelRequest(), timeout=TIMEOUT_SECONDS)
    except PlatformError:
        return ""
    finally:
        await channel.close()
    return answer.boot_id


async def list_workers(port: int, token_file: Path) -> list[router_pb2.Worker]:
    """What the router on this port knows of each worker. Raises PlatformError, OSError without a token."""
    channel = _channel(port, token_file)
    try:
        answer = await channel.call(LIST_WORKERS, router_pb2.ListWorkersRequest(), timeout=TIMEOUT_SECONDS)
    finally:
        await channel.close()
    return list(answer.workers)


async def list_variants(address: str, token_file: Path) -> list[router_pb2.PoolVariants]:
    """How pools are split, as the router at `address` has it. Raises PlatformError, OSError without a token."""
    channel = _channel_to(address, token_file)
    try:
        answer = await channel.call(LIST_VARIANTS, router_pb2.ListVariantsRequest(), timeout=TIMEOUT_SECONDS)
    finally:
        await channel.close()
    return list(answer.pools)


async def set_variants(
    address: str, token_file: Path, pool: str, weights: Mapping[str, int]
) -> router_pb2.PoolVariants:
    """Changes weights for all routers; how the pool is split after it. Raises PlatformError, OSError."""
    channel = _channel_to(address, token_file)
    request = router_pb2.SetVariantsRequest(pool=pool, weights=weights)
    try:
        answer = await channel.call(SET_VARIANTS, request, timeout=TIMEOUT_SECONDS)
    finally:
        await channel.close()
    return answer.pool
