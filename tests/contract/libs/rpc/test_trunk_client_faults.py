"""A serving side that follows a script: what the channel makes of bad frames, silence and loss at every frame."""

import asyncio
import time

import grpc
import grpc.aio
import pytest
from headrace.common.v1.trunk_pb2 import Close, ConnectRequest, ConnectResponse, Frame, GoAway, Hello
from headrace.inference.v1 import inference_pb2 as pb

from libs.errors import PlatformError, Reason
from libs.rpc.errors import encode
from libs.rpc.method import method
from libs.rpc.trunk.client import PATH, TrunkChannel
from libs.rpc.trunk.limits import TrunkLimits
from libs.testing.channels import grpc_settled
from libs.testing.loop import run_real

SERVICE = pb.DESCRIPTOR.services_by_name["InferenceService"]
COUNT = method(SERVICE, "Count", pb.CountRequest, pb.CountResponse)
GENERATE = method(SERVICE, "Generate", pb.GenerateRequest, pb.GenerateResponse)
HELLO = Hello(version=1, identity="inference")
FAST = TrunkLimits(ping_seconds=0.05, silent_seconds=0.3, connect_seconds=0.5)


class Script(grpc.GenericRpcHandler):
    """Greets, then lets the test's coroutine play the server."""

    def __init__(self, play, hello=HELLO):
        self._play, self._hello = play, hello
        self.heard = []
        self.dials = 0

    def service(self, details):
        return grpc.stream_stream_rpc_method_handler(self._connect) if details.method == PATH else None

    async def _connect(self, _, context):
        self.dials += 1
        await context.read()
        if self._hello is None:
            await asyncio.sleep(3600)
        await self.send(context, Frame(hello=self._hello))
        await self._play(self, context)

    async def send(self, context, *frames):
        await context.write(ConnectResponse(frames=frames).SerializeToString())

    async def opens(self, context, count=1):
        """Waits until that many calls have been opened."""
        while sum(frame.HasField("open") for frame in self.heard) < count:
            await self.hear(context)

    async def hear(self, context):
        data = await context.read()
        assert data is not grpc.aio.EOF
        self.heard += ConnectRequest.FromString(data).frames


async def forever(_, __):
    await asyncio.sleep(3600)


def with_script(play, scenario, *, hello=HELLO, limits=FAST):
    async def whole():
        script = Script(play, hello)
        server = grpc.aio.server()
        server.add_generic_rpc_handlers((script,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = TrunkChannel(f"127.0.0.1:{port}", identity="gateway", token="t", limits=limits, jitter=lambda: 0.5)
        try:
            async with asyncio.timeout(10):
                await scenario(channel, script)
        finally:
            await channel.close()
            await server.stop(None)
            await grpc_settled()

    run_real(whole())


async def failure(awaitable):
    with pytest.raises(PlatformError) as caught:
        await awaitable
    return caught.value


def delta(index):
    return pb.GenerateResponse(first_index=index, text="t").SerializeToString()


FRAMES = 6


@pytest.mark.parametrize("after", range(FRAMES + 1))
def test_a_loss_after_any_frame_keeps_what_came_and_tells_the_rest(after):
    frames = [Frame(call=1, data=delta(index)) for index in range(FRAMES - 1)]
    frames.append(Frame(call=1, data=delta(FRAMES - 1), end=True))

    async def play(script, context):
        await script.opens(context)
        for frame in frames[:after]:
            await script.send(context, frame)

    async def scenario(channel, _):
        stream = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        got, lost = [], None
        try:
            async for message in stream:
                got.append(message.first_index)  # noqa: PERF401 - what came before the error counts
        except PlatformError as error:
            lost = error
        assert got == list(range(after))
        if after == FRAMES:
            assert lost is None
        else:
            assert (lost.reason, lost.started) == (Reason.WORKER_LOST, True)

    with_script(play, scenario)


def test_an_open_that_was_not_written_is_not_started():
    async def play(script, context):
        await script.opens(context)
        await asyncio.sleep(0.05)

    async def scenario(channel, _):
        running = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        while not channel.gauges().messages or channel.gauges().write_stall_seconds:
            await asyncio.sleep(0.001)
        channel._link.kick = lambda: None  # the writer never hears of the second call
        unwritten = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        assert (await failure(running.next_batch())).started
        assert not (await failure(unwritten.next_batch())).started

    with_script(play, scenario, limits=TrunkLimits())


def test_a_bad_response_fails_its_call_alone_and_unknown_frames_are_ignored():
    async def play(script, context):
        await script.opens(context, 2)
        await script.send(
            context, Frame(call=1, data=b"\xff\xff\xff"), Frame(call=2), Frame(), Frame(call=99, data=b"x")
        )
        await script.send(context, Frame(call=2, data=delta(0), end=True))
        await asyncio.sleep(3600)

    async def scenario(channel, _):
        bad = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        good = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        assert (await failure(bad.next_batch())).reason is Reason.INTERNAL
        assert [message.text async for message in good] == ["t"]

    with_script(play, scenario, limits=TrunkLimits())


def test_a_silent_peer_is_noticed_and_dialled_again():
    async def scenario(channel, script):
        began = time.monotonic()
        error = await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
        assert error.reason is Reason.WORKER_LOST
        assert error.started
        assert time.monotonic() - began < 2
        await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
        assert script.dials == 2

    with_script(forever, scenario)


@pytest.mark.parametrize("hello", [Hello(version=2), Hello(), None])
def test_a_peer_that_greets_wrongly_gets_no_call(hello):
    async def scenario(channel, script):
        error = await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
        assert (error.reason, error.started) == (Reason.WORKER_LOST, False)
        assert script.heard == []

    with_script(forever, scenario, hello=hello)


def test_calls_fail_at_once_while_a_refused_dial_is_backed_off():
    async def scenario(channel, script):
        await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
        dials, began = script.dials, time.monotonic()
        for _ in range(20):
            error = await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
            assert not error.started
        assert time.monotonic() - began < 0.05
        assert script.dials == dials
        while script.dials == dials:  # the calls asked for another dial, once the back-off is over
            await asyncio.sleep(0.01)

    with_script(forever, scenario, hello=Hello(version=2))


def test_a_request_larger_than_the_peer_takes_is_refused_here():
    async def scenario(channel, script):
        running = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        while channel._link is None:
            await asyncio.sleep(0.001)
        error = await failure(channel.call(COUNT, pb.CountRequest(model="x" * 100), timeout=5))
        assert (error.reason, error.started) == (Reason.PAYLOAD_TOO_LARGE, False)
        running.cancel()

    with_script(forever, scenario, hello=Hello(version=1, payload_bytes_max=50))


def test_go_away_refuses_what_it_did_not_take_and_lets_the_rest_finish():
    async def play(script, context):
        await script.opens(context, 2)
        await script.send(context, Frame(go_away=GoAway(last_call=1, reason="shutting down")))
        await script.send(context, Frame(call=1, data=delta(0), end=True))
        await asyncio.sleep(3600)

    async def scenario(channel, _):
        first = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        second = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        refused = await failure(second.next_batch())
        assert (refused.reason, refused.started) == (Reason.DRAINING, False)
        assert [message.text async for message in first] == ["t"]
        later = await failure(channel.call(COUNT, pb.CountRequest(), timeout=5))
        assert (later.reason, later.started) == (Reason.DRAINING, False)

    with_script(play, scenario, limits=TrunkLimits())


def test_what_came_before_an_error_is_read_first():
    async def play(script, context):
        await script.opens(context)
        status = encode(PlatformError(Reason.ENGINE_DEAD, "gone")).SerializeToString()
        await script.send(context, Frame(call=1, data=delta(0)), Frame(call=1, close=Close(status=status)))
        await asyncio.sleep(3600)

    async def scenario(channel, _):
        stream = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        assert len(await stream.next_batch()) == 1
        assert (await failure(stream.next_batch())).reason is Reason.ENGINE_DEAD

    with_script(play, scenario, limits=TrunkLimits())


def test_a_call_given_up_before_it_was_written_is_never_heard_of():
    async def play(script, context):
        while True:
            await script.hear(context)

    async def scenario(channel, script):
        kept = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        channel.stream(GENERATE, pb.GenerateRequest(), timeout=5).cancel()
        while not any(frame.HasField("open") for frame in script.heard):
            await asyncio.sleep(0.001)
        channel.stream(GENERATE, pb.GenerateRequest(), timeout=5).cancel()
        kept.cancel()
        while not any(frame.HasField("cancel") for frame in script.heard):
            await asyncio.sleep(0.001)
        assert sum(frame.HasField("open") for frame in script.heard) == 1

    with_script(play, scenario)


def test_gauges_tell_the_moment():
    async def scenario(channel, _):
        assert not channel.gauges().connected
        stream = channel.stream(GENERATE, pb.GenerateRequest(), timeout=5)
        while not channel.gauges().messages:
            await asyncio.sleep(0.001)
        gauges = channel.gauges()
        assert (gauges.connected, gauges.open_calls, gauges.queued_bytes) == (True, 1, 0)
        assert gauges.frames >= 1
        stream.cancel()
        assert channel.gauges().open_calls == 0

    with_script(forever, scenario, limits=TrunkLimits())
