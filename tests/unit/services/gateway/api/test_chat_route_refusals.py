"""Who and what the hot route lets in, and how it ends: keys, bodies, defects, drain; over real sockets."""

from __future__ import annotations

import asyncio

import pytest
from headrace.inference.v1.inference_pb2 import GenerateResponse

from libs.clock import SystemClock
from libs.testing.loop import run_real
from services.gateway.adapters.accounts.memory import MemoryAccounts
from services.gateway.api.chat_route import ChatRouteLimits
from services.gateway.api.testing import ScriptedPipeline, ended, public_face, started
from services.gateway.domain.accounts.records import Key, Tenant
from services.gateway.domain.auth import hash_key
from services.gateway.events import Delta
from services.gateway.usecases.accounts.authenticator import KeyAuthenticator


def delta(text: str) -> Delta:
    return Delta(GenerateResponse(text=text))


PEPPER, KEY = b"p" * 32, "sk-hr-" + "a" * 48


def door():
    key = Key(tenant="acme", id="key_1", hmac=hash_key(PEPPER, KEY))
    return KeyAuthenticator(MemoryAccounts(Tenant(id="acme"), key), SystemClock(), PEPPER)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ((f"authorization: Bearer {KEY}",), 200),
        ((f"Authorization: bearer {KEY}",), 200),
        ((), 401),
        ((f"authorization: Bearer {KEY[:-1]}b",), 401),
        (("authorization: Basic xyz",), 401),
        (("authorization: Bearer \xff\xfe",), 401),
    ],
)
def test_only_a_valid_key_is_served(wire, headers, status):
    async def scenario():
        pipeline = ScriptedPipeline()
        async with public_face(pipeline, authenticator=door()) as face:
            return await wire.post(face.port, headers=headers), pipeline

    reply, pipeline = run_real(scenario())
    assert reply.status == status
    if status == 401:
        assert reply.json["error"]["code"] == "invalid_api_key"
        assert reply.headers["www-authenticate"].startswith("bearer")
        assert not pipeline.requests
    else:
        assert (pipeline.principals[0].tenant, pipeline.principals[0].key_id) == ("acme", "key_1")


def test_a_strangers_body_is_not_looked_at(wire):
    async def scenario():
        async with public_face(ScriptedPipeline(), authenticator=door()) as face:
            return await wire.exchange(face.port, wire.request_bytes(raw=b"{nonsense"))

    assert run_real(scenario()).status == 401


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_over_the_limit_is_413_with_and_without_a_length(wire, chunked):
    async def scenario(most):
        async with public_face(ScriptedPipeline(), limits=ChatRouteLimits(body_bytes_max=most)) as face:
            request = wire.request_bytes({**wire.body, "messages": [{"role": "user", "content": "x" * 5000}]})
            if chunked:
                head, _, body = request.partition(b"\r\n\r\n")
                head = head.replace(b"content-length: %d" % len(body), b"transfer-encoding: chunked")
                request = head + b"\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
            return await wire.exchange(face.port, request)

    reply = run_real(scenario(1000))
    assert reply.status == 413
    assert reply.json["error"]["code"] == "payload_too_large"
    assert run_real(scenario(100_000)).status == 200


def test_a_client_that_never_finishes_its_body_is_cut(wire):
    async def scenario(limit):
        async with public_face(ScriptedPipeline(), limits=ChatRouteLimits(body_timeout=limit)) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            request = wire.request_bytes(wire.body)
            writer.write(request[:-5])
            await asyncio.sleep(0.3)
            writer.write(request[-5:])
            try:
                return await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 3)
            except (ConnectionError, asyncio.IncompleteReadError):
                return b"cut"
            finally:
                writer.close()

    assert run_real(scenario(0.1)) == b"cut"
    assert run_real(scenario(3.0)).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"model":"\xff","messages":[]}', b"[" * 9999])
def test_a_body_that_is_no_request_is_400(wire, raw):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            return await wire.exchange(face.port, wire.request_bytes(raw=raw))

    reply = run_real(scenario())
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_bytes_that_are_not_http_get_the_same_error_shape(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            return await wire.exchange(face.port, b"NONSENSE\r\n\r\n")

    reply = run_real(scenario())
    assert reply.status == 400
    assert reply.json["error"]["type"] == "invalid_request_error"


def test_a_defect_is_a_500_that_tells_nothing_but_its_id(wire):
    def broken(request, request_id):
        raise ValueError("secret detail")

    async def scenario():
        async with public_face(ScriptedPipeline(broken)) as face:
            return await wire.post(face.port)

    reply = run_real(scenario())
    assert reply.status == 500
    assert reply.json["error"]["code"] == "internal_error"
    assert b"secret" not in reply.raw


def test_a_defect_in_mid_stream_is_an_error_event(wire):
    def broken(request, request_id):
        yield [started(request, request_id), delta("x")]
        raise ValueError("secret detail")

    async def scenario():
        async with public_face(ScriptedPipeline(broken)) as face:
            return await wire.post(face.port, {"stream": True})

    reply = run_real(scenario())
    assert reply.events[-1]["error"]["code"] == "internal_error"
    assert b"secret" not in reply.raw


def test_a_connection_serves_one_call_after_another(wire):
    async def scenario():
        async with public_face(ScriptedPipeline()) as face:
            reader, writer = await asyncio.open_connection("127.0.0.1", face.port)
            for _ in range(3):
                writer.write(wire.request_bytes({**wire.body, "stream": True}))
                raw = await reader.readuntil(b"0\r\n\r\n")
                assert wire.parse(raw).events[-1] == "[DONE]"
            writer.close()

    run_real(scenario())


def test_a_drain_finishes_running_streams_and_accepts_nothing_more(wire):
    async def scenario():
        gate = asyncio.Event()
        pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), delta("x")], gate, [delta("y"), ended(r)]])
        async with public_face(pipeline) as face:
            stream = asyncio.create_task(wire.post(face.port, {"stream": True}))
            await wire.until(lambda: pipeline.running == 1)
            drain = asyncio.create_task(face.server.drain(2.0))
            with pytest.raises(OSError, match="Connect call failed"):
                for _ in range(200):
                    _, writer = await asyncio.open_connection("127.0.0.1", face.port)
                    writer.close()
                    await asyncio.sleep(0.005)
            gate.set()
            reply = await stream
            await drain
            return reply

    assert run_real(scenario()).events[-1] == "[DONE]"


@pytest.mark.parametrize("stream", [True, False])
def test_what_outlasts_the_grace_is_told_so_and_aborted(wire, stream):
    async def scenario():
        pipeline = ScriptedPipeline(lambda r, i: [[started(r, i), delta("x")], asyncio.Event()])
        async with public_face(pipeline) as face:
            answer = asyncio.create_task(wire.post(face.port, {"stream": stream}))
            await wire.until(lambda: pipeline.running == 1)
            await face.server.drain(0.0)
            reply = await answer
            assert pipeline.aborted == 1
            # These words tell it from a client that leaves, who has ordered a whole answer and pays for it.
            assert [any(words) for words in pipeline.cancelled] == [True]
            return reply

    reply = run_real(scenario())
    error = reply.events[-1] if stream else reply.json
    assert error["error"]["code"] == "draining"
    assert b"[DONE]" not in reply.body
