"""Streaming handlers that only begin work, and responses that are encoded already: the same on every transport."""

import asyncio
import gc
import weakref

import pytest
from headrace.inference.v1 import inference_pb2 as pb

from libs.clock import SystemClock
from libs.errors import PlatformError, Reason
from libs.rpc.dial import dial
from libs.rpc.method import method
from libs.rpc.server import RpcServer
from libs.rpc.settings import RpcServerSettings
from libs.rpc.started import started
from libs.testing.channels import Served, connected
from libs.testing.loop import run_real

GENERATE = method(
    pb.DESCRIPTOR.services_by_name["InferenceService"], "Generate", pb.GenerateRequest, pb.GenerateResponse
)


class Work:
    """Pushes three responses, then ends as the request's `session` says."""

    def __init__(self):
        self.cancelled, self.calls, self.late = asyncio.Event(), [], None

    def start(self, request, responder, info, ended):
        self.calls.append(info)
        if request.session == "refuse":
            raise PlatformError(Reason.OVERLOADED, "full", retry_after_seconds=1.5, started=False, param="model")
        if request.session == "crash":
            raise ValueError("a secret detail")
        size = 300_000 if request.session == "big" else 1  # more than the first window
        for index in range(3):
            responder.send_encoded(pb.GenerateResponse(first_index=index, text="x" * size).SerializeToString())
        responder.on_cancel(lambda: self._gone(ended))
        self.late = lambda error: (responder.send(pb.GenerateResponse(first_index=3)), ended(error))
        if request.session in {"now", "big"}:
            ended(None)
            ended(PlatformError(Reason.INTERNAL, "a second word"))

    def _gone(self, ended):
        self.cancelled.set()
        ended(PlatformError(Reason.CANCELLED, "the work's own word"))


class Hook:
    def __init__(self):
        self.heard = []

    def started(self, info):
        return "mark"

    def finished(self, mark, info, error, seconds):
        self.heard.append((mark, error and error.reason))


async def hear(hook):
    """What the hook has heard, once it has heard something and could have heard more."""
    async with asyncio.timeout(2):
        while not hook.heard:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.02)
    return hook.heard


def on(kind, scenario):
    async def whole():
        work = Work()
        async with asyncio.timeout(20), connected(kind, [started(GENERATE, work.start)]) as channel:
            await scenario(work, lambda session, timeout=5: channel.stream(GENERATE, ask(session), timeout=timeout))

    run_real(whole())


def ask(session):
    return pb.GenerateRequest(session=session)


async def taken(stream, count):
    return [(await stream.__anext__()).first_index for _ in range(count)]


async def failure(stream):
    with pytest.raises(PlatformError) as caught:
        while True:
            await stream.__anext__()
    return caught.value


@pytest.mark.parametrize("session", ["now", "big"])
def test_work_that_has_ended_when_the_start_returns_is_whole(kind, session):
    async def scenario(work, stream):
        assert [message.first_index async for message in stream(session)] == [0, 1, 2]
        assert not work.cancelled.is_set()

    on(kind, scenario)


@pytest.mark.parametrize("error", [None, PlatformError(Reason.ENGINE_DEAD, "gone")])
def test_work_that_ends_later_ends_the_stream_after_what_it_sent(kind, error):
    async def scenario(work, stream):
        running = stream("")
        assert await taken(running, 3) == [0, 1, 2]
        work.late(error)
        assert await taken(running, 1) == [3]
        if error is None:
            assert [message async for message in running] == []
        else:
            assert (await failure(running)).reason is Reason.ENGINE_DEAD

    on(kind, scenario)


def test_a_refusal_crosses_with_all_its_fields(kind):
    async def scenario(_, stream):
        error = await failure(stream("refuse"))
        found = (error.reason, error.message, error.retry_after_seconds, error.started, error.param)
        assert found == (Reason.OVERLOADED, "full", 1.5, False, "model")

    on(kind, scenario)


def test_a_fault_in_the_start_is_internal_and_keeps_its_details_inside(kind):
    async def scenario(_, stream):
        error = await failure(stream("crash"))
        assert error.reason is Reason.INTERNAL
        assert "secret" not in error.message

    on(kind, scenario)


def test_a_cancel_and_a_deadline_reach_the_work(kind):
    async def scenario(work, stream):
        running = stream("")
        await taken(running, 3)
        running.cancel()
        await asyncio.wait_for(work.cancelled.wait(), 1)
        work.cancelled.clear()
        late = stream("", timeout=0.3)
        assert (await failure(late)).reason is Reason.DEADLINE_EXCEEDED
        await asyncio.wait_for(work.cancelled.wait(), 1)

    on(kind, scenario)


@pytest.mark.parametrize(
    ("session", "act", "reason"),
    [
        ("now", "read", None),
        ("refuse", "read", Reason.OVERLOADED),
        ("crash", "read", Reason.INTERNAL),
        ("", "cancel", Reason.CANCELLED),
        ("", "wait", Reason.DEADLINE_EXCEEDED),
        ("", "fail", Reason.ENGINE_DEAD),
        ("", "lose", Reason.CANCELLED),
    ],
)
def test_hooks_hear_of_each_end_once(wire, session, act, reason):
    async def scenario():
        hook, work = Hook(), Work()
        handlers = [started(GENERATE, work.start)]
        server = RpcServer("peer", handlers, RpcServerSettings(), clock=SystemClock(), token="t", hooks=[hook])
        await server.start()
        channel = dial(f"127.0.0.1:{server.port}", wire, identity="gateway", token="t")
        stream = channel.stream(GENERATE, ask(session), timeout=0.5)
        if not session:
            await taken(stream, 3)
        if act == "cancel":
            stream.cancel()
        elif act == "fail":
            work.late(PlatformError(Reason.ENGINE_DEAD, "gone"))
        elif act == "lose":
            await channel.close()
        elif reason is None:
            assert len([message async for message in stream]) == 3
        else:
            await failure(stream)
        assert await hear(hook) == [("mark", reason)]
        assert server.open_calls == 0
        await channel.close()
        await Served(server).stop()
        assert len(hook.heard) == 1

    run_real(scenario())


@pytest.mark.parametrize("ends", ["in its start", "later", "by a cancel"])
def test_a_call_that_is_over_leaves_nothing_to_the_garbage_collector(ends):
    """A worker makes thousands of calls a second: circles of them were a tenth of its CPU."""

    class Pushing:
        def __init__(self, responder, ended):
            self.responder, self.ended = responder, ended
            if ends == "in its start":
                self.end()
            responder.on_cancel(self.cancel)

        def end(self):
            self.responder.send(pb.GenerateResponse())
            self.ended(None)

        def cancel(self):
            self.ended(PlatformError(Reason.CANCELLED, "gone"))

    made = []

    def start(request, responder, info, ended):
        pushing = Pushing(responder, ended)
        made.append(weakref.ref(pushing))
        if ends == "later":
            asyncio.get_running_loop().call_later(0.01, pushing.end)

    async def scenario():
        async with connected("trunk", [started(GENERATE, start)]) as channel:
            gc.disable()
            stream = channel.stream(GENERATE, ask(""), timeout=5)
            if ends == "by a cancel":
                await asyncio.sleep(0.05)
                stream.cancel()
                await asyncio.sleep(0.05)
            else:
                assert len([message async for message in stream]) == 1
            assert made[-1]() is None

    try:
        run_real(scenario())
    finally:
        gc.enable()


def test_work_that_says_nothing_when_it_is_cancelled_is_over_all_the_same():
    async def scenario():
        hook = Hook()
        handlers = [started(GENERATE, lambda request, responder, info, ended: responder.send(pb.GenerateResponse()))]
        server = RpcServer("peer", handlers, RpcServerSettings(), clock=SystemClock(), token="t", hooks=[hook])
        await server.start()
        channel = dial(f"127.0.0.1:{server.port}", "trunk", identity="gateway", token="t")
        stream = channel.stream(GENERATE, ask(""), timeout=5)
        await taken(stream, 1)
        stream.cancel()
        assert await hear(hook) == [("mark", Reason.CANCELLED)]
        assert server.open_calls == 0
        await channel.close()
        await Served(server).stop()

    run_real(scenario())
