"""What nobody should send, over real sockets: planted keys turn up in no log, error, metric or span."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest
from headrace.gateway.v1 import accounts_pb2 as pb
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from structlog.testing import capture_logs

from libs.errors import PlatformError
from libs.settings import TraceSettings
from libs.telemetry import tracer
from libs.telemetry.metrics import Registry
from libs.telemetry.otel import otel_backend
from libs.testing.inmem import InMemoryChannel
from libs.testing.loop import run, run_real
from services.gateway.api.body import bounded
from services.gateway.api.grpc_accounts import GrpcAccounts
from services.gateway.api.testing import ScriptedPipeline, public_face
from services.gateway.metrics import RestMetrics
from tests.unit.services.gateway.api.accounts.world import World
from tests.unit.services.gateway.api.conftest import exchange, request_bytes

CANARY = "sk-hr-" + "c0ffee" * 8


async def sent(*requests, name="admin"):
    """The replies to raw requests, with `name`'s key, and the gateway's metrics at the end."""
    world = await World().populate()
    world.keys["canary"] = CANARY
    auth = f"authorization: Bearer {world.keys[name]}" if name else "x-none: 1"
    async with public_face(ScriptedPipeline(), authenticator=world.door, extend=world.extend) as face:
        replies = [await exchange(face.port, data.replace(b"AUTH", auth.encode())) for data in requests]
        metrics = await exchange(face.port, request_bytes(method="GET", path="/metrics"))
    return replies, metrics.body.decode()


def http(method, path, body=None, *headers, raw=None):
    return request_bytes(body, method=method, path=path, headers=["AUTH", *headers], raw=raw)


PLACES = {
    "query": http("GET", f"/v1/admin/keys?api_key={CANARY}"),
    "query of chat": http("POST", f"/v1/chat/completions?key={CANARY}", {"model": "small", "messages": []}),
    "path": http("GET", f"/v1/admin/keys/{CANARY}"),
    "unknown path": http("GET", f"/nope/{CANARY}"),
    "path of regenerate": http("POST", f"/key/{CANARY}/regenerate", {}),
    "path of regenerate, wrong method": http("GET", f"/key/{CANARY}/regenerate"),
    "selector": http("GET", f"/key/info?key={CANARY}"),
    "selector in a body": http("POST", "/key/block", {"key": CANARY}),
    "list of selectors": http("POST", "/key/delete", {"keys": [CANARY]}),
    "text of choice": http("POST", "/key/generate", {"key": CANARY}),
    "id": http("POST", "/v1/admin/users", {"id": CANARY + "!"}),
    "tenant": http("POST", "/v1/admin/users", {"id": "x", "tenant": CANARY}),
    "name of a field": http("POST", "/v1/admin/keys", {CANARY: 1}),
    "role": http("POST", "/v1/admin/keys", {"role": CANARY}),
    "amount": http("PUT", "/v1/admin/budgets", {"limit_usd": CANARY}),
    "duration": http("PUT", "/v1/admin/budgets", {"limit_usd": 1, "duration": CANARY}),
    "tag's name": http("POST", "/v1/admin/keys", {"metadata": {f"{CANARY}=": "x"}}),
    "no JSON": http("POST", "/v1/admin/keys", raw=b"{" + CANARY.encode()),
    "model of a chat": http("POST", "/v1/chat/completions", {"model": CANARY, "messages": CANARY}),
    "wrong scheme": request_bytes(method="GET", path="/v1/me", headers=[f"authorization: Basic {CANARY}"]),
    "unknown key": request_bytes(method="GET", path="/v1/me", headers=[f"authorization: Bearer {CANARY}"]),
    "another header": http("GET", "/nope", None, f"x-api-key: {CANARY}"),
    "header with no end": http("GET", "/v1/me", None, f"x-long: {CANARY * 3000}"),
}


@pytest.fixture
def spans():
    exporter = InMemorySpanExporter()
    backend = otel_backend(TraceSettings(), "gateway", "gateway-0", exporter)
    tracer.use(backend)

    def stop():
        tracer.use(None)
        backend.close()
        return [span.to_json() for span in exporter.get_finished_spans()]

    yield stop
    tracer.use(None)
    backend.close()


@pytest.mark.parametrize("place", PLACES)
def test_a_planted_key_is_found_nowhere(place, spans, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with capture_logs() as lines:
        (reply,), metrics = run_real(sent(PLACES[place]))
    assert 400 <= reply.status < 500, reply.raw[:300]
    assert "c0ffee" not in reply.raw.decode("utf-8", "replace")
    assert "c0ffee" not in metrics
    assert "c0ffee" not in json.dumps(lines, default=repr)
    assert "c0ffee" not in caplog.text
    assert "c0ffee" not in "".join(capfd.readouterr())
    assert not [span for span in spans() if "c0ffee" in span]


RPCS = {
    "GetKey": pb.GetKeyRequest(id=CANARY),
    "GetUser": pb.GetUserRequest(id=CANARY),
    "GetTenant": pb.GetTenantRequest(id=CANARY),
    "SetPrice": pb.SetPriceRequest(price=pb.Price(model=CANARY + " ")),
    "ClearBudget": pb.ClearBudgetRequest(duration=CANARY),
    "UpdateKey": pb.UpdateKeyRequest(id="x", limits=pb.Limits(cleared=[CANARY])),
}


@pytest.mark.parametrize("name", RPCS)
def test_no_rpc_repeats_a_planted_key(name, caplog):
    async def scenario():
        world = await World.shared()
        handlers = GrpcAccounts(world.desk, world.door, world.clock, RestMetrics(Registry())).handlers()
        method = next(handler.method for handler in handlers if handler.method.name == name)
        metadata = {"authorization": f"Bearer {world.keys['admin']}"}
        with pytest.raises(PlatformError) as caught:
            await InMemoryChannel(handlers).call(method, RPCS[name], timeout=5.0, metadata=metadata)
        return caught.value

    with capture_logs() as lines:
        problem = run(scenario())
    assert "c0ffee" not in f"{problem} {problem.param} {lines} {caplog.text}"


@pytest.mark.parametrize("path", ["/v1/me", "/v1/models", "/v1/chat/completions"])
@pytest.mark.parametrize("value", ["Bearer \xff\xfe", "Bearer", "\xe4\xf6", "Bearer " + "x" * 5000, "Bearer a b"])
def test_headers_that_are_no_key_are_401(path, value):
    method = "POST" if path.endswith("completions") else "GET"
    data = request_bytes({}, method=method, path=path, headers=[f"authorization: {value}"])
    (reply,), _ = run_real(sent(data))
    assert (reply.status, reply.json["error"]["code"]) == (401, "invalid_api_key")


@pytest.mark.parametrize(
    "raw",
    [b"\xff\xfe", b"[" * 200_000, b'{"name": "\xff"}', b"null", b"[]", b'"x"', b'{"name": NaN}', b""],
    ids=["no UTF-8", "deep", "no UTF-8 in a text", "null", "list", "text", "NaN", "empty"],
)
def test_bodies_that_are_no_object_are_refused(raw):
    (reply,), _ = run_real(sent(http("POST", "/v1/admin/keys", raw=raw)))
    assert reply.status in {400, 422}
    assert set(reply.json["error"]) == {"message", "type", "param", "code"}


def test_bodies_are_bounded_before_they_are_in_memory():
    data = http("POST", "/v1/admin/keys", raw=b'{"name": "' + b"x" * 2**20 + b'"}')
    (reply,), _ = run_real(sent(data))
    assert (reply.status, reply.json["error"]["code"]) == (413, "payload_too_large")


def test_a_body_that_does_not_come_is_given_up():
    async def scenario():
        async def receive():
            await asyncio.sleep(3600)

        return await bounded(receive, 100, 5.0)()

    with pytest.raises(Exception, match="5 seconds") as caught:
        run(scenario())
    assert caught.value.status_code == 408


def test_what_comes_after_the_body_may_take_its_time():
    async def scenario():
        messages = [{"type": "http.request", "body": b"x", "more_body": False}, {"type": "http.disconnect"}]

        async def receive():
            await asyncio.sleep(4.0 if len(messages) == 2 else 3600)
            return messages.pop(0)

        part = bounded(receive, 100, 5.0)
        return [(await part())["type"], (await part())["type"]]

    assert run(scenario()) == ["http.request", "http.disconnect"]


@pytest.mark.parametrize(
    "limits",
    [
        {"requests_per_minute": -1},
        {"requests_per_minute": 0},
        {"requests_per_minute": 2**63},
        {"tokens_per_minute": 150_000_001},
        {"parallel_requests": 10**9},
        {"models": ["a\nb"]},
        {"models": ["x"] * 300},
        {"budgets": [{"limit_usd": 1, "soft_usd": 2}]},
        {"budgets": [{"limit_usd": 1}, {"limit_usd": 2}]},
        {"budgets": [{"limit_usd": 1, "duration": "30"}]},
        {"budgets": [{"limit_usd": 1, "duration": "99999999d"}]},
    ],
)
def test_limits_that_cannot_be_kept_are_refused(limits):
    async def scenario():
        world = await World.shared()
        return await world.call("admin", "POST", "/v1/admin/keys", {"limits": limits})

    reply = run(scenario())
    assert reply.status_code in {400, 422}
    assert reply.json()["error"]["param"]


@pytest.mark.parametrize(
    "metadata",
    [
        {"a\0": "x"},
        {"a": "x\n"},
        {"a": "x" * 300},
        {"a" * 70: "x"},
        {"": "x"},
        {"a=b": "x"},
        {str(i): "" for i in range(17)},
    ],
)
def test_tags_that_could_be_more_than_tags_are_refused(metadata):
    async def scenario():
        world = await World.shared()
        return await world.call("admin", "POST", "/v1/admin/keys", {"metadata": metadata})

    reply = run(scenario())
    assert (reply.status_code, reply.json()["error"]["param"]) == (400, "metadata")


@pytest.mark.parametrize("expires_at", [0, -1, 1e18, float("nan"), float("inf"), 1_600_000_000])
def test_expiries_that_are_none_are_refused(expires_at):
    async def scenario():
        world = await World.shared()
        async with world.client("admin") as client:
            body = json.dumps({"expires_at": expires_at})
            return await client.post("/v1/admin/keys", content=body, headers={"content-type": "application/json"})

    assert run(scenario()).status_code in {400, 422}
