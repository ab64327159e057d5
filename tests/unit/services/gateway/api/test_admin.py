"""Models, health, metrics, the description, and the framework's own errors in OpenAI's shape."""

from __future__ import annotations

import json

import httpx
import pytest

from libs.errors import PlatformError, Reason
from libs.telemetry.metrics import Registry
from libs.testing.loop import run, run_real
from services.gateway.api.admin import admin_app
from services.gateway.api.ports import Anonymous
from services.gateway.api.testing import ScriptedPipeline, public_face
from services.gateway.domain.models import ModelInfo


def fetch(wire, path, *, method="GET", pipeline=None, authenticator=None):
    async def scenario():
        async with public_face(pipeline or ScriptedPipeline(), authenticator=authenticator) as face:
            return await wire.exchange(face.port, wire.request_bytes(method=method, path=path))

    return run_real(scenario())


class Closed:
    def known(self, presented):
        return None

    async def authenticate(self, presented):
        raise PlatformError(Reason.INVALID_API_KEY, "No.", started=False)


def test_models_are_listed_in_openais_shape(wire):
    reply = fetch(wire, "/v1/models")
    model = reply.json["data"][0]
    assert reply.json["object"] == "list"
    assert (model["id"], model["object"], model["owned_by"]) == ("small", "model", "headrace")
    assert model["headrace"]["model"] == "smollm2"
    assert model["headrace"]["window_tokens"] == 2048
    assert reply.headers["x-request-id"]


@pytest.mark.parametrize("name", ["small", "org/model-1"])
def test_one_model_is_found_by_its_name(wire, name):
    pipeline = ScriptedPipeline(catalog=[ModelInfo(name, name, "d", "t", 10)])
    assert fetch(wire, f"/v1/models/{name}", pipeline=pipeline).json["id"] == name


def test_an_unknown_model_is_404(wire):
    reply = fetch(wire, "/v1/models/nope")
    assert (reply.status, reply.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/small"])
def test_models_need_a_key(wire, path):
    assert fetch(wire, path, authenticator=Closed()).status == 401


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json"])
def test_health_and_metrics_need_none(wire, path):
    assert fetch(wire, path, authenticator=Closed()).status == 200


def test_not_ready_is_503_with_the_reason(wire):
    reply = fetch(wire, "/readyz", pipeline=ScriptedPipeline(is_ready=False))
    assert (reply.status, reply.json["error"]["code"]) == (503, "no_worker")
    assert reply.headers["retry-after"] == "1"


def test_a_gateway_whose_ledger_takes_no_holds_yet_is_not_ready():
    async def scenario():
        app = admin_app(ScriptedPipeline(), Anonymous(), Registry(), created=1, version="0", ready=lambda: False)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get("/readyz")

    reply = run(scenario())
    assert (reply.status_code, "store" in reply.text) == (503, True)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("PUT", "/v1/chat/completions", 405, "method_not_allowed"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
        ("POST", "/v1/completions", 404, "not_found"),
    ],
)
def test_the_frameworks_errors_have_the_same_shape(wire, method, path, status, code):
    reply = fetch(wire, path, method=method)
    assert reply.status == status
    assert reply.json["error"]["code"] == code
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["x-request-id"]
    assert status != 405 or reply.headers["allow"]


@pytest.mark.parametrize(("method", "path"), [("POST", "/chat/completions"), ("GET", "/models")])
def test_a_base_url_without_v1_is_told_what_it_lacks(wire, method, path):
    reply = fetch(wire, path, method=method)
    assert reply.status == 404
    assert f"It is /v1{path}" in reply.json["error"]["message"]
    assert "It is" not in fetch(wire, "/v1/completions", method="POST").json["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models"])
def test_options_name_the_methods(wire, path):
    reply = fetch(wire, path, method="OPTIONS")
    assert reply.status == 204
    assert reply.headers["allow"]


@pytest.mark.parametrize("path", ["/healthz", "/v1/models"])
def test_head_is_get_without_a_body(wire, path):
    reply = fetch(wire, path, method="HEAD")
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.headers["content-length"]) > 0


def test_the_description_covers_every_route(wire):
    reply = fetch(wire, "/openapi.json")
    wanted = {"/v1/chat/completions", "/v1/models", "/v1/models/{name}", "/healthz", "/readyz", "/metrics"}
    others = {path for path in reply.json["paths"] if path.split("/")[2:3] in (["jobs"], ["files"], ["batches"])}
    assert set(reply.json["paths"]) - others == wanted
    body = reply.json["paths"]["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    schema = reply.json["components"]["schemas"][body["$ref"].rsplit("/", 1)[1]]
    assert {"messages", "tools", "response_format", "session_id"} <= set(schema["properties"])
    assert schema["properties"]["tools"]["items"]["$ref"].endswith("ToolSpec")
    assert "$defs" not in json.dumps(reply.json)


def test_a_defect_is_a_500_of_the_same_shape(wire):
    class Broken(ScriptedPipeline):
        def models(self):
            raise ValueError("secret detail")

    reply = fetch(wire, "/v1/models", pipeline=Broken())
    assert (reply.status, reply.json["error"]["code"]) == (500, "internal_error")
    assert reply.headers["x-request-id"]
    assert b"secret" not in reply.raw


def test_metrics_count_requests_by_route_and_status(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            await wire.post(face.port)
            await wire.post(face.port, {"n": 0})
            return await wire.exchange(face.port, wire.request_bytes(method="GET", path="/metrics"))

    text = run_real(scenario()).body.decode()
    assert 'headrace_gateway_requests_total{route="chat",status="200"} 1.0' in text
    assert 'headrace_gateway_requests_total{route="chat",status="400"} 1.0' in text
