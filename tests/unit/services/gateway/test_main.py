"""The gateway as it is put together in life, up to its neighbours, which are away."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from libs.app import App
from libs.clock import SystemClock
from libs.errors import PlatformError
from libs.settings import parse
from libs.telemetry import Telemetry
from libs.telemetry.metrics import Registry
from libs.testing.loop import run_real
from libs.testing.valkey import ValkeyProcess
from services.gateway.adapters.keys import create_key, list_keys, revoke_key
from services.gateway.api.connection import ConnectionLimits
from services.gateway.api.server import RestServer
from services.gateway.api.testing import ScriptedPipeline, public_face
from services.gateway.main import build
from services.gateway.settings import GatewaySettings

CHAT = {"model": "small", "messages": [{"role": "user", "content": "hi"}]}


def settings_in(directory, *flags):
    token = directory / "internal.token"
    token.write_text("t")
    token.chmod(0o600)
    flags = ("--state_dir", str(directory), "--router.address", "127.0.0.1:1", "--grpc.port", "0", *flags)
    if "--valkey.url" not in flags:
        flags = (*flags, "--valkey.url", "redis://127.0.0.1:1")
    return parse(GatewaySettings, flags, {}).settings


async def running(settings, use):
    app = App(settings, Telemetry(Registry(), (), lambda: None), SystemClock())
    done = []

    async def build_and_use(stack: AsyncExitStack, app: App):
        await build(settings, stack, app)
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings.rest.port}", timeout=5) as client:
            done.append(await use(client))
        app.stop("the test is over")

    await app.run(build_and_use)
    return done[0]


@pytest.fixture
def port():
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def store():
    with ValkeyProcess() as process:
        yield process


def test_it_serves_without_neighbours_and_says_what_is_missing(tmp_path, port):
    async def use(client):
        health, ready = await client.get("/healthz"), await client.get("/readyz")
        return health.status_code, ready.status_code, (await client.post("/v1/chat/completions", json=CHAT)).status_code

    settings = settings_in(tmp_path, "--rest.port", str(port))
    assert run_real(running(settings, use)) == (200, 503, 401)
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600


def with_key(key):
    return {"authorization": f"Bearer {key}"}


def test_with_store_and_key_the_missing_router_is_a_503(tmp_path, port, store):
    settings = settings_in(tmp_path, "--rest.port", str(port), "--valkey.url", store.url)
    key = create_key(settings.keys_path, settings.pepper_path, "acme", "test")

    async def use(client):
        return await client.post("/v1/chat/completions", json=CHAT, headers=with_key(key))

    answer = run_real(running(settings, use))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "router_unavailable")


def test_without_a_store_a_key_cannot_be_checked_and_the_reply_says_so(tmp_path, port):
    settings = settings_in(tmp_path, "--rest.port", str(port))
    key = create_key(settings.keys_path, settings.pepper_path, "acme", "test")

    async def use(client):
        return await client.post("/v1/chat/completions", json=CHAT, headers=with_key(key))

    answer = run_real(running(settings, use))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert answer.headers["retry-after"] == "1"


def test_a_gateway_started_without_its_store_imports_the_keys_when_it_is_there(tmp_path, port):
    with ValkeyProcess() as server:
        server.kill()
        settings = settings_in(tmp_path, "--rest.port", str(port), "--valkey.url", server.url)
        key = create_key(settings.keys_path, settings.pepper_path, "acme", "test")

        async def use(client):
            before = await client.get("/v1/models", headers=with_key(key))
            server.start()
            async with asyncio.timeout(10):
                while (await client.get("/v1/models", headers=with_key(key))).status_code != 200:
                    await asyncio.sleep(0.02)
            return before

        assert run_real(running(settings, use)).status_code == 503


def test_anonymous_callers_come_as_far_as_the_router(tmp_path, port, store):
    async def use(client):
        return await client.post("/v1/chat/completions", json=CHAT)

    settings = settings_in(tmp_path, "--rest.port", str(port), "--valkey.url", store.url, "--anonymous")
    assert run_real(running(settings, use)).json()["error"]["code"] == "router_unavailable"


def test_a_made_key_works_and_a_revoked_one_is_refused_without_a_restart(tmp_path, port, store):
    settings = settings_in(tmp_path, "--rest.port", str(port), "--valkey.url", store.url)

    async def use(client):
        async def until(status, key):
            async with asyncio.timeout(10):
                while (await client.get("/v1/models", headers=with_key(key))).status_code != status:
                    await asyncio.sleep(0.01)
            return status

        key = create_key(settings.keys_path, settings.pepper_path, "acme", "late")
        await until(200, key)
        revoke_key(settings.keys_path, list_keys(settings.keys_path)[0].id)
        return await until(401, key)

    assert run_real(running(settings, use)) == 401


def test_a_taken_port_is_named_with_what_to_do():
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            with pytest.raises(PlatformError, match=r"--rest\.port"):
                await RestServer(None, "127.0.0.1", face.port, limits=ConnectionLimits()).start()

    run_real(scenario())
