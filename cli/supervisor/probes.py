"""How each kind of process is asked whether it serves. No probe raises: an unreachable process does not serve."""

from __future__ import annotations

import asyncio
import http.client
import struct
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import grpc.aio
from grpc_health.v1 import health_pb2

from cli.inside import describe_worker
from cli.supervisor.spec import Probe

TIMEOUT_SECONDS = 1.0


def store_probe(port: int) -> Probe:
    """PING to the store; while it loads its file it answers, but not PONG."""

    async def probe() -> tuple[bool, str]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await _ping(port), ""
        except (OSError, TimeoutError):
            return False, ""

    return probe


async def _ping(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(b"PING\r\n")
        return (await reader.readline()).startswith(b"+PONG")
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


# Kafka's ApiVersions, version 0, without a client id: length, key 18, version, correlation id 1, null string.
_API_VERSIONS = struct.pack(">ihhih", 10, 18, 0, 1, -1)


def broker_probe(port: int) -> Probe:
    """Asks for the protocol versions: a broker that listens and is not ready does not answer."""

    async def probe() -> tuple[bool, str]:
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                return await _api_versions(port), ""
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            return False, ""

    return probe


async def _api_versions(port: int) -> bool:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_API_VERSIONS)
        _, correlation, error = struct.unpack(">iih", await reader.readexactly(10))
        return (correlation, error) == (1, 0)
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def http_probe(url: str) -> Probe:
    """200 is yes."""

    async def probe() -> tuple[bool, str]:
        return await http_ok(url), ""

    return probe


async def http_ok(url: str) -> bool:
    """True when a GET is answered with 200 within a second."""
    return await asyncio.to_thread(_http_ok, url)


def _http_ok(url: str) -> bool:
    """The plain client: it runs for as long as the platform, and httpx reads certificates for every new client."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def rpc_probe(port: int) -> Probe:
    """Health v1 of the whole server."""

    async def probe() -> tuple[bool, str]:
        return await rpc_serving(port), ""

    return probe


def worker_probe(port: int, token_file: Path) -> Probe:
    """As `rpc_probe`, with the boot id from the worker's own description."""
    known: dict[str, str] = {}

    async def probe() -> tuple[bool, str]:
        if not await rpc_serving(port):
            known.clear()
            return False, ""
        if "boot" not in known and (boot := await _boot_id(port, token_file)):
            known["boot"] = boot
        return True, known.get("boot", "")

    return probe


async def _listens(port: int) -> bool:
    try:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def rpc_serving(port: int) -> bool:
    """True when the server on this port says SERVING within a second."""
    if not await _listens(port):  # a gRPC channel to a port that is closed costs ten times more to find out
        return False
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        check = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        try:
            answer = await check(health_pb2.HealthCheckRequest(), timeout=TIMEOUT_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


async def _boot_id(port: int, token_file: Path) -> str:
    with suppress(OSError):
        return await describe_worker(port, token_file)
    return ""
