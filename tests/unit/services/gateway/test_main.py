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
from services.gateway.adapters.keys import KeysFile, create_key, list_keys, revoke_key
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
    dead = ("--router.address", "127.0.0.1:1", "--valkey.url", "redis://127.0.0.1:1", "--grpc.port", "0")
    return parse(GatewaySettings, ("--state_dir", str(directory), *dead, *flags), {}).settings


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


def test_it_serves_without_neighbours_and_says_what_is_missing(tmp_path, port):
    async def use(client):
        health, ready = await client.get("/healthz"), await client.get("/readyz")
        return health.status_code, ready.status_code, (await client.post("/v1/chat/completions", json=CHAT)).status_code

    settings = settings_in(tmp_path, "--rest.port", str(port))
    assert run_real(running(settings, use)) == (200, 503, 401)
    assert (tmp_path / "pepper").stat().st_mode & 0o777 == 0o600


def test_with_a_key_the_missing_router_is_a_503(tmp_path, port):
    settings = settings_in(tmp_path, "--rest.port", str(port))
    key = create_key(settings.keys_path, settings.pepper_path, "acme", "test")

    async def use(client):
        return await client.post("/v1/chat/completions", json=CHAT, headers={"authorization": f"Bearer {key}"})

    answer = run_real(running(settings, use))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "router_unavailable")


def test_anonymous_callers_come_as_far_as_the_router(tmp_path, port):
    async def use(client):
        return await client.post("/v1/chat/completions", json=CHAT)

    settings = settings_in(tmp_path, "--rest.port", str(port), "--anonymous")
    assert run_real(running(settings, use)).status_code == 503


def test_a_revoked_key_is_refused_within_a_second_without_a_restart(tmp_path):
    keys_file, pepper_file = tmp_path / "keys.json", tmp_path / "pepper"
    key = create_key(keys_file, pepper_file, "acme", "test")

    async def scenario():
        keys, heard = KeysFile(keys_file, pepper_file), []
        following = asyncio.create_task(keys.follow(SystemClock(), 0.05, heard.append))
        async with public_face(ScriptedPipeline(), authenticator=keys) as face, httpx.AsyncClient() as client:

            async def status():
                headers = {"authorization": f"Bearer {key}"}
                url = f"{face.base}/v1/chat/completions"
                return (await client.post(url, json=CHAT, headers=headers)).status_code

            assert await status() == 200
            revoke_key(keys_file, list_keys(keys_file)[0].id)
            async with asyncio.timeout(1):
                while await status() != 401:
                    await asyncio.sleep(0.01)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert heard == [None]

    run_real(scenario())


def test_a_taken_port_is_named_with_what_to_do():
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            with pytest.raises(PlatformError, match=r"--rest\.port"):
                await RestServer(None, "127.0.0.1", face.port, limits=ConnectionLimits()).start()

    run_real(scenario())
