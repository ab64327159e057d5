"""Commands against the real routes of the gateway, in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial

import httpx
import pytest
from typer.testing import CliRunner

from cli.client.admin import AdminClient
from cli.main import app
from libs.testing.loop import run
from tests.unit.services.gateway.api.accounts.world import World

URL = "http://gateway"


class AppTransport(httpx.BaseTransport):
    """Each request runs in a loop of its own, as commands have none."""

    def __init__(self, application):
        self._transport = httpx.ASGITransport(application, raise_app_exceptions=False)
        self.requests = []

    def handle_request(self, request):
        self.requests.append(request)
        return run(self._ask(request))

    async def _ask(self, request):
        reply = await self._transport.handle_async_request(request)
        return httpx.Response(reply.status_code, headers=reply.headers, content=await reply.aread())


@dataclass
class Shell:
    """`shell("keys", "list")` gives what the command said; `shell.json(…)` its document. The key is the admin's."""

    world: World
    transport: AppTransport
    state_dir: str

    def __call__(self, *words, key="admin", code=0):
        environment = {"HEADRACE_API_KEY": self.world.keys[key], "HEADRACE_URL": URL, "COLUMNS": "200"}
        done = CliRunner().invoke(app, [*words, "--state-dir", self.state_dir], env=environment)
        assert done.exit_code == code, done.output
        return done

    def json(self, *words, key="admin", code=0):
        return json.loads(self(*words, "--json", key=key, code=code).stdout)


@pytest.fixture
def shell(monkeypatch, tmp_path):
    world = run(World.shared())
    transport = AppTransport(world.app)
    monkeypatch.setattr("cli.commands.target.AdminClient", partial(AdminClient, transport=transport))
    return Shell(world, transport, str(tmp_path))
