"""A peer that speaks the trunk's frames by hand: what a bad frame does, and what it must leave alone."""

import asyncio

import grpc
import grpc.aio
import pytest
from headrace.common.v1.trunk_pb2 import Cancel, ConnectRequest, ConnectResponse, Frame, Hello, Open, Ping
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import Reason
from libs.rpc.api import Handler
from libs.rpc.errors import decode_bytes
from libs.rpc.method import method
from libs.rpc.trunk.client import PATH
from libs.rpc.trunk.limits import TrunkLimits
from libs.testing.channels import TOKEN, start
from libs.testing.loop import run_real

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
GENERATE = method(SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)
DRAIN = method(SERVICE, "Drain", pb.DrainRequest, pb.DrainResponse)
HELLO = Hello(version=1, identity="gateway", token=TOKEN)


async def count(request, _):
    return pb.CountResponse(tokens=len(request.model))


async def generate(request, responder, _):
    def fault():
        raise ValueError("a fault of the handler")

    if request.model == "bad callback":
        responder.on_cancel(fault)
    responder.send(pb.GenerateResponse(text="first"))
    await asyncio.sleep(3600)


async def drain(_, __):
    return pb.DrainResponse()


class Raw:
    """The dialling side, by hand."""

    def __init__(self, call):
        self._call = call
        self.heard = []

    async def send(self, *frames):
        await self._call.write(ConnectRequest(frames=frames).SerializeToString())

    async def send_bytes(self, data):
        await self._call.write(data)

    async def frame(self, call, timeout=3):
        """The next frame of a call."""
        async with asyncio.timeout(timeout):
            while True:
                data = await self._call.read()
                assert data is not grpc.aio.EOF, "the trunk ended"
                for frame in ConnectResponse.FromString(data).frames:
                    self.heard.append(frame)
                    if frame.call == call:
                        return frame
                    if frame.HasField("ping") and not frame.ping.ack:
                        await self.send(Frame(ping=Ping(id=frame.ping.id, ack=True)))

    async def ended(self):
        async with asyncio.timeout(3):
            while True:
                try:
                    if await self._call.read() is grpc.aio.EOF:
                        return await self._call.code()
                except grpc.aio.AioRpcError as error:
                    return error.code()


def with_raw(scenario, hello=HELLO, limits=None):
    async def whole():
        quick_fault = Handler(DRAIN, drain, quick=lambda _, __: "no message at all")
        handlers = [Handler(COUNT, count), Handler(GENERATE, generate), quick_fault]
        served = await start(handlers, limits=limits or TrunkLimits(payload_bytes=1000))
        try:
            async with grpc.aio.insecure_channel(served.address) as channel:
                raw = Raw(channel.stream_stream(PATH)())
                if hello is not None:
                    await raw.send(Frame(hello=hello))
                    await raw.frame(0)
                await scenario(raw)
        finally:
            await served.stop()

    run_real(whole())


def opened(number, found=COUNT, request=None, **more):
    payload = (request or found.request()).SerializeToString()
    return Frame(call=number, open=Open(**{"method": found.path, "payload": payload, "timeout_ms": 5000, **more}))


def reason(frame):
    return decode_bytes(frame.close.status).reason


async def still_works(raw, number=900):
    await raw.send(opened(number, request=pb.CountRequest(model="abc")))
    frame = await raw.frame(number)
    assert frame.end
    assert pb.CountResponse.FromString(frame.data).tokens == 3


BAD = {
    "no such method": (Open(method="/x.Y/Z", timeout_ms=5000), Reason.UNIMPLEMENTED),
    "no deadline": (Open(method=COUNT.path), Reason.INVALID_REQUEST),
    "deadline under the margin": (Open(method=COUNT.path, timeout_ms=1), Reason.DEADLINE_EXCEEDED),
    "no such message": (Open(method=COUNT.path, timeout_ms=5000, payload=b"\xff\xff\xff"), Reason.INVALID_REQUEST),
    "metadata too large": (
        Open(method=COUNT.path, timeout_ms=5000, metadata={"x-request-id": "x" * 20_000}),
        Reason.PAYLOAD_TOO_LARGE,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_is_closed_alone_and_unstarted(name):
    async def scenario(raw):
        bad, expected = BAD[name]
        await raw.send(Frame(call=1, open=bad))
        closed = await raw.frame(1)
        assert reason(closed) is expected
        assert not decode_bytes(closed.close.status).started
        await still_works(raw)

    with_raw(scenario)


def test_a_request_that_goes_on_after_its_end_is_cut_alone():
    async def scenario(raw):
        await raw.send(opened(1, GENERATE, credit=1000), opened(2, GENERATE, credit=1000))
        assert (await raw.frame(1)).data
        await raw.send(Frame(call=1, data=b"more"))
        assert reason(await raw.frame(1)) is Reason.INVALID_REQUEST
        await still_works(raw)

    with_raw(scenario)


def test_a_request_in_parts_that_grows_too_large_is_cut_alone():
    async def scenario(raw):
        first = opened(1)
        first.more = True
        await raw.send(first, *(Frame(call=1, data=b"x" * 400, more=True) for _ in range(4)))
        assert reason(await raw.frame(1)) is Reason.PAYLOAD_TOO_LARGE
        await still_works(raw)

    with_raw(scenario)


def test_unknown_frames_and_calls_are_ignored():
    async def scenario(raw):
        await raw.send(Frame(call=77), Frame(), Frame(call=5, credit=10), Frame(call=6, cancel=Cancel()))
        await raw.send(Frame(call=8, data=b"x"), Frame(call=9, hello=HELLO))
        await raw.send_bytes(b"\x0a\x05\x08\x07\xca\x3e\x00")  # a frame of call 7 whose kind this version lacks
        await still_works(raw)

    with_raw(scenario)


def test_a_used_call_id_opens_nothing():
    async def scenario(raw):
        await still_works(raw, 10)
        await raw.send(opened(10), opened(3))
        await still_works(raw, 11)
        assert [frame.call for frame in raw.heard if frame.call] == [10, 11]

    with_raw(scenario)


def test_a_faulty_cancel_callback_harms_nobody():
    async def scenario(raw):
        await raw.send(opened(1, GENERATE, pb.GenerateRequest(model="bad callback"), credit=1000))
        await raw.frame(1)
        await raw.send(Frame(call=1, cancel=Cancel()))
        await still_works(raw)

    with_raw(scenario)


def test_an_answer_that_is_no_message_ends_its_call_alone():
    async def scenario(raw):
        await raw.send(opened(1, DRAIN), opened(2, GENERATE, credit=1000))
        assert reason(await raw.frame(1)) is Reason.INTERNAL
        await still_works(raw)

    with_raw(scenario)


def test_no_more_is_sent_than_the_peer_takes_in_one_payload():
    async def scenario(raw):
        await raw.send(opened(1, GENERATE, credit=1000))
        assert reason(await raw.frame(1)) is Reason.PAYLOAD_TOO_LARGE

    with_raw(scenario, hello=Hello(version=1, token=TOKEN, identity="gateway", payload_bytes_max=3))


def test_credit_is_waited_for_and_a_reader_without_it_is_cut():
    async def scenario(raw):
        await raw.send(opened(1, GENERATE, credit=0))
        assert reason(await raw.frame(1)) is Reason.SLOW_READER
        await raw.send(opened(2, GENERATE, credit=0))
        await raw.send(Frame(call=2, credit=100))
        assert pb.GenerateResponse.FromString((await raw.frame(2)).data).text == "first"

    with_raw(scenario, limits=TrunkLimits(starved_seconds=0.3))


@pytest.mark.parametrize("data", [b"\xff\xff\xff\xff", b"\x0a\x02" + b"\x00" * 5_000_000])
def test_what_cannot_be_decoded_or_is_too_large_ends_the_trunk(data):
    async def scenario(raw):
        await raw.send_bytes(data)
        await raw.ended()

    with_raw(scenario)


@pytest.mark.parametrize(
    ("first", "code"),
    [
        (Frame(ping=Ping(id=1)), grpc.StatusCode.INVALID_ARGUMENT),
        (Frame(hello=Hello(version=1, token="wrong")), grpc.StatusCode.UNAUTHENTICATED),
        (Frame(hello=Hello(version=2, token=TOKEN)), grpc.StatusCode.FAILED_PRECONDITION),
    ],
)
def test_a_trunk_that_begins_wrongly_is_refused(first, code):
    async def scenario(raw):
        await raw.send(first)
        assert await raw.ended() is code

    with_raw(scenario, hello=None)


def test_a_peer_that_answers_no_ping_is_dropped():
    async def scenario(raw):
        await raw.send(opened(1, GENERATE, credit=1000))
        await raw.frame(1)
        await raw.ended()

    with_raw(scenario, limits=TrunkLimits(ping_seconds=0.05, silent_seconds=0.3))
